#include "model/mlp.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "common/base/check.h"
#include "model/kernels/norm.h"
#include "model/ops.h"
#include "model/random.h"

namespace pompc::model {
namespace {

// Standard deviation of initial weights. TD-MPC2 truncates at +-2, a hundred deviations from zero.
constexpr double kWeightStd = 0.02;

// FNV-1a: a name for the random stream of a tensor that is the same on every machine and in every
// version of the standard library, so that a seed always gives the same initial parameters.
uint32_t HashOf(const std::string& text) {
  uint32_t hash = 2166136261u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

bool HasKernels(const MlpSpec& spec, const at::Tensor& flat) {
  const auto fits = [](int64_t width) { return width % kernels::kNormMultiple == 0; };
  return flat.is_cpu() && flat.scalar_type() == at::kFloat &&
         std::all_of(spec.hidden.begin(), spec.hidden.end(), fits) &&
         (spec.simnorm_dim == 0 ||
          (spec.simnorm_dim == kernels::kNormMultiple && fits(spec.output)));
}

// One pass over a network in the autograd graph. Gradients of the parameters are added to their
// flat vector during the backward pass; only the gradient of x is passed to the next node.
struct MlpNode : public torch::autograd::Node {
  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    at::NoGradGuard no_grad;
    if (!gradients[0].defined()) return {at::Tensor()};
    const at::Tensor upstream = gradients[0].contiguous();
    const at::Tensor workspace =
        at::empty({kernels::BackwardWorkspaceSize(*layers, pass)}, upstream.options());
    at::Tensor x_gradient;
    kernels::MlpBackwardArguments arguments;
    arguments.tape = tape.data_ptr<float>();
    arguments.out = out.data_ptr<float>();
    arguments.out_gradient = upstream.data_ptr<float>();
    arguments.train = train;
    arguments.workspace = workspace.data_ptr<float>();
    if (task_should_compute_output(0)) {
      x_gradient = at::empty_like(x);
      arguments.x_gradient = x_gradient.data_ptr<float>();
    }
    kernels::MlpBackward(*layers, pass, arguments);
    return {x_gradient};
  }

  void release_variables() override {
    tape = out = x = at::Tensor();
    keep_alive.clear();
  }

  std::shared_ptr<const kernels::MlpLayers> layers;
  std::vector<at::Tensor> keep_alive;
  kernels::MlpPass pass;
  at::Tensor x, tape, out;
  bool train = false;
};

}  // namespace

int64_t MlpSpec::NumParameters() const {
  int64_t total = 0;
  int64_t in = input;
  for (const int64_t width : hidden) {
    total += in * width + 3 * width;
    in = width;
  }
  total += in * output + (simnorm_dim > 0 ? 3 : 1) * static_cast<int64_t>(output);
  return total * (members > 0 ? members : 1);
}

Mlp::Mlp(MlpSpec spec, at::Tensor flat) : spec_(std::move(spec)), flat_(std::move(flat)) {
  POMPC_CHECK_EQ(flat_.numel(), spec_.NumParameters());
  layers_ = MakeLayers(flat_);
  if (HasKernels(spec_, flat_)) kernel_layers_ = MakeKernelLayers({});
}

// The one place that knows how layers lie in a flat vector: layer by layer weight, bias and, where
// there is a norm, its weight and bias, each with all members of an ensemble. Checkpoints and
// published parameters list tensors in this order, so it is part of their format.
std::vector<Mlp::Layer> Mlp::MakeLayers(const at::Tensor& flat) const {
  at::NoGradGuard no_grad;
  int64_t offset = 0;
  const auto take = [&](std::vector<int64_t> shape) {
    if (spec_.members > 0) shape.insert(shape.begin(), spec_.members);
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    at::Tensor view = flat.narrow(0, offset, count).view(shape);
    offset += count;
    return view;
  };
  std::vector<Layer> layers;
  int64_t in = spec_.input;
  for (size_t i = 0; i <= spec_.hidden.size(); ++i) {
    const bool last = i == spec_.hidden.size();
    const int64_t out = last ? spec_.output : spec_.hidden[i];
    Layer layer;
    layer.weight = take({in, out});
    layer.bias = take({out});
    if (!last || spec_.simnorm_dim > 0) {
      layer.norm_weight = take({out});
      layer.norm_bias = take({out});
    }
    layers.push_back(std::move(layer));
    in = out;
  }
  return layers;
}

std::shared_ptr<const kernels::MlpLayers> Mlp::MakeKernelLayers(
    const std::vector<Layer>& gradients) const {
  const auto begin = [](const at::Tensor& x) {
    return x.defined() ? x.data_ptr<float>() : nullptr;
  };
  auto layers = std::make_shared<kernels::MlpLayers>();
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& p = layers_[i];
    kernels::MlpLayer layer;
    layer.in = p.weight.size(-2);
    layer.out = p.weight.size(-1);
    layer.simnorm = i + 1 == layers_.size() && spec_.simnorm_dim > 0;
    layer.bfloat16 = RoundsFactors(spec_.matmul_dtype);
    layer.parameters = {begin(p.weight), begin(p.bias), begin(p.norm_weight), begin(p.norm_bias)};
    if (!gradients.empty()) {
      const Layer& g = gradients[i];
      layer.gradients = {begin(g.weight), begin(g.bias), begin(g.norm_weight), begin(g.norm_bias)};
    }
    layers->push_back(layer);
  }
  return layers;
}

void Mlp::Initialize(uint64_t seed) const {
  at::NoGradGuard no_grad;
  flat_.zero_();
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    if (layer.norm_weight.defined()) layer.norm_weight.fill_(1);
    const bool zero = spec_.zero_last && i + 1 == layers_.size();
    // A stream for each tensor, so that a change of one network's size leaves the others' initial
    // parameters as they were.
    const RandomStream stream{HashOf(spec_.name), static_cast<uint32_t>(i)};
    if (spec_.uniform_start) {
      const double bound = 1 / std::sqrt(static_cast<double>(layer.weight.size(-2)));
      const int64_t weights = layer.weight.numel();
      const at::Tensor draws =
          Uniform({seed}, stream, {weights + layer.bias.numel()}, at::kCPU)[0].mul_(2).sub_(1).mul_(
              bound);
      if (!zero) layer.weight.copy_(draws.narrow(0, 0, weights).view(layer.weight.sizes()));
      layer.bias.copy_(draws.narrow(0, weights, layer.bias.numel()).view(layer.bias.sizes()));
      continue;
    }
    if (zero) continue;
    const at::Tensor draws = Normal({seed}, stream, {layer.weight.numel()}, at::kCPU);
    layer.weight.copy_((draws * kWeightStd).clamp(-2, 2).view(layer.weight.sizes()));
  }
}

at::Tensor Mlp::ForwardReference(const at::Tensor& x, const Options& options) const {
  const std::vector<Layer>& layers = options.train ? leaves_ : layers_;
  // On a CPU only the kernels are faster in bfloat16; where a network has none it stays float32.
  const proto::ModelConfig::MatmulDtype matmul_dtype = flat_.is_cpu() && kernel_layers_ == nullptr
                                                           ? proto::ModelConfig::FLOAT32
                                                           : spec_.matmul_dtype;
  const auto pick = [&](const at::Tensor& parameter) {
    return options.members.defined() ? parameter.index_select(0, options.members) : parameter;
  };
  at::Tensor y = x;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    if (!layer.norm_weight.defined()) {
      y = Linear(y, pick(layer.weight), pick(layer.bias), matmul_dtype);
      continue;
    }
    NormedLinearParameters p;
    p.weight = pick(layer.weight);
    p.bias = pick(layer.bias);
    p.norm_weight = pick(layer.norm_weight);
    p.norm_bias = pick(layer.norm_bias);
    // TD-MPC2 drops out in the first layer of the Q ensembles alone.
    if (i == 0) p.dropout = options.dropout;
    p.matmul_dtype = matmul_dtype;
    p.simnorm_dim = i + 1 == layers.size() ? spec_.simnorm_dim : 0;
    y = NormedLinear(y, p);
  }
  return y;
}

at::Tensor Mlp::ForwardKernel(const at::Tensor& x, const Options& options) const {
  kernels::MlpPass pass;
  if (options.members.defined()) {
    const at::Tensor members = options.members.contiguous();
    const int64_t* first = members.data_ptr<int64_t>();
    pass.members.assign(first, first + members.numel());
  } else if (spec_.members > 0) {
    pass.members.resize(static_cast<size_t>(spec_.members));
    std::iota(pass.members.begin(), pass.members.end(), 0);
  }
  pass.rows = x.size(-2);
  pass.x = x.data_ptr<float>();
  pass.shared_x = x.dim() == 2;
  if (options.dropout.defined()) pass.dropout = options.dropout.data_ptr<float>();
  std::vector<int64_t> shape = {pass.rows, spec_.output};
  if (spec_.members > 0) shape.insert(shape.begin(), static_cast<int64_t>(pass.members.size()));
  at::Tensor out = at::empty(shape, x.options().requires_grad(false));
  float* data = out.data_ptr<float>();
  const bool graph = at::GradMode::is_enabled() && (options.train || x.requires_grad());
  // Planning and targets build no graph and need no tape: rows pass through all layers in blocks
  // that stay in the cache.
  if (!graph) {
    const at::Tensor workspace =
        at::empty({kernels::InferWorkspaceSize(*kernel_layers_, pass)}, out.options());
    kernels::MlpInfer(*kernel_layers_, pass, workspace.data_ptr<float>(), data);
    return out;
  }
  // The tape holds what the backward pass needs of every layer, in one allocation.
  const at::Tensor tape = at::empty({kernels::TapeSize(*kernel_layers_, pass)}, out.options());
  kernels::MlpForward(*kernel_layers_, pass, tape.data_ptr<float>(), data);
  std::shared_ptr<MlpNode> node(new MlpNode, torch::autograd::deleteNode);
  node->layers = kernel_layers_;
  // The kernels hold raw pointers into these.
  node->keep_alive = {flat_, flat_gradient_, options.dropout};
  node->pass = std::move(pass);
  node->x = x.detach();
  node->tape = tape;
  node->out = out.detach();
  node->train = options.train;
  node->set_next_edges(torch::autograd::collect_next_edges(x));
  torch::autograd::set_history(out, node);
  return out;
}

at::Tensor Mlp::Forward(const at::Tensor& x, const Options& options) const {
  POMPC_CHECK(!options.train || !leaves_.empty(), "EnableGradients was not called");
  POMPC_CHECK_EQ(x.size(-1), spec_.input);
  // Networks see rows, whatever leading shape x has; an ensemble's own leading dimension stays.
  const bool own_rows = spec_.members > 0 && x.dim() > 2;
  const at::Tensor rows =
      own_rows ? x.reshape({x.size(0), -1, x.size(-1)}) : x.reshape({-1, x.size(-1)});
  const at::Tensor y =
      UsesKernels() ? ForwardKernel(rows.contiguous(), options) : ForwardReference(rows, options);
  if (x.dim() == 2 || (own_rows && x.dim() == 3)) return y;
  // Back to x's leading shape, behind the dimension of the members.
  std::vector<int64_t> shape = x.sizes().vec();
  if (spec_.members > 0 && !own_rows) shape.insert(shape.begin(), y.size(0));
  shape.back() = spec_.output;
  return y.view(shape);
}

bool Mlp::UsesKernels() const { return kernel_layers_ != nullptr && !ReferenceScope::active(); }

void Mlp::EnableGradients(at::Tensor flat_gradient) {
  POMPC_CHECK_EQ(flat_gradient.numel(), flat_.numel());
  flat_gradient_ = flat_gradient;
  leaves_ = MakeLayers(flat_);
  std::vector<Layer> gradients = MakeLayers(flat_gradient);
  if (kernel_layers_ != nullptr) kernel_layers_ = MakeKernelLayers(gradients);
  for (size_t i = 0; i < leaves_.size(); ++i) {
    const auto link = [](at::Tensor& parameter, at::Tensor& gradient) {
      if (!parameter.defined()) return;
      // Detached, the view becomes a leaf of the graph that still shares the flat vector's storage:
      // optimisers step over the flat vector, autograd sees one parameter for each tensor.
      parameter = parameter.detach().requires_grad_(true);
      parameter.mutable_grad() = gradient;
    };
    link(leaves_[i].weight, gradients[i].weight);
    link(leaves_[i].bias, gradients[i].bias);
    link(leaves_[i].norm_weight, gradients[i].norm_weight);
    link(leaves_[i].norm_bias, gradients[i].norm_bias);
  }
}

NamedTensors Mlp::Parameters() const {
  NamedTensors result;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string prefix = spec_.name + "." + std::to_string(i) + ".";
    result.push_back({prefix + "weight", layers_[i].weight});
    result.push_back({prefix + "bias", layers_[i].bias});
    if (layers_[i].norm_weight.defined()) {
      result.push_back({prefix + "norm.weight", layers_[i].norm_weight});
      result.push_back({prefix + "norm.bias", layers_[i].norm_bias});
    }
  }
  return result;
}

}  // namespace pompc::model
