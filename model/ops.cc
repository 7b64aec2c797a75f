#include "model/ops.h"

#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "common/base/check.h"
#include "model/kernels/two_hot.h"

namespace pompc::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// The number of scopes that the thread is in.
thread_local int reference_scopes = 0;

// The kernels read raw float32 memory of the CPU. float64 (the tests' finite differences) and GPUs
// take the ATen operations.
bool HasTwoHotKernel(const at::Tensor& x, const Bins& bins) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && bins.count <= kernels::kMaxBins &&
         !ReferenceScope::active();
}

kernels::TwoHotBins KernelBins(const Bins& bins) { return {bins.count, bins.low, bins.width()}; }

at::Tensor DecodeForward(const at::Tensor& logits, const Bins& bins) {
  at::Tensor values =
      at::empty(logits.sizes().slice(0, static_cast<size_t>(logits.dim() - 1)), logits.options());
  kernels::TwoHotDecodeForward(KernelBins(bins), values.numel(), logits.data_ptr<float>(),
                               values.data_ptr<float>());
  return values;
}

struct TwoHotDecodeFunction : public Function<TwoHotDecodeFunction> {
  static Variable forward(AutogradContext* ctx, const Variable& logits, const Bins& bins) {
    // The logits are kept; the backward pass makes the softmax again.
    ctx->save_for_backward({logits});
    ctx->saved_data["low"] = bins.low;
    ctx->saved_data["high"] = bins.high;
    return DecodeForward(logits, bins);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const at::Tensor logits = ctx->get_saved_variables()[0];
    const Bins bins{static_cast<int>(logits.size(-1)), ctx->saved_data["low"].toDouble(),
                    ctx->saved_data["high"].toDouble()};
    const at::Tensor upstream = gradients[0].contiguous();
    at::Tensor result = at::empty_like(logits);
    kernels::TwoHotDecodeBackward(KernelBins(bins), upstream.numel(), logits.data_ptr<float>(),
                                  upstream.data_ptr<float>(), result.data_ptr<float>());
    return {result, at::Tensor()};
  }
};

struct TwoHotCrossEntropyFunction : public Function<TwoHotCrossEntropyFunction> {
  static Variable forward(AutogradContext* ctx, const Variable& logits, const at::Tensor& targets,
                          const at::Tensor& weights, const Bins& bins) {
    at::Tensor gradient = at::empty_like(logits);
    const double sum = kernels::TwoHotCrossEntropy(
        KernelBins(bins), logits.dim() == 3 ? logits.size(0) : 1, targets.numel(),
        logits.data_ptr<float>(), targets.data_ptr<float>(), weights.data_ptr<float>(),
        gradient.data_ptr<float>());
    // The kernel has made the gradient along the way, from the softmax that the loss needs anyway.
    ctx->save_for_backward({gradient});
    return at::full({}, sum, logits.options());
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    return {ctx->get_saved_variables()[0] * gradients[0], at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct WeightedSquaredErrorFunction : public Function<WeightedSquaredErrorFunction> {
  static Variable forward(AutogradContext* ctx, const Variable& prediction,
                          const at::Tensor& target, const at::Tensor& weights) {
    const at::Tensor difference = prediction - target;
    ctx->save_for_backward({difference, weights});
    return at::dot(difference.square().mean(1), weights);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    // d/dp of weight * mean((p - t)^2) over a row.
    const double factor = 2 / static_cast<double>(saved[0].size(1));
    return {saved[0] * (saved[1] * (gradients[0] * factor)).unsqueeze(1), at::Tensor(),
            at::Tensor()};
  }
};

at::Tensor BinNumbers(const at::Tensor& like, const Bins& bins) {
  return at::arange(bins.count, like.options());
}

// Per-member vectors [M, out] against [M, R, out].
at::Tensor PerMember(const at::Tensor& parameter) {
  return parameter.dim() == 2 ? parameter.unsqueeze(1) : parameter;
}

}  // namespace

ReferenceScope::ReferenceScope() { ++reference_scopes; }
ReferenceScope::~ReferenceScope() { --reference_scopes; }
bool ReferenceScope::active() { return reference_scopes > 0; }

Bins BinsOf(const proto::ModelConfig& config) {
  return {static_cast<int>(config.num_bins()), config.bin_min(), config.bin_max()};
}

at::Tensor RepeatRows(const at::Tensor& rows, int64_t count) {
  return rows.unsqueeze(1)
      .expand({rows.size(0), count, rows.size(1)})
      .reshape({rows.size(0) * count, rows.size(1)});
}

at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  proto::ModelConfig::MatmulDtype matmul_dtype) {
  // A shared x is rounded once, and expanded without a copy after that.
  const auto for_members = [&](const at::Tensor& rows) {
    return rows.dim() == 2 ? rows.expand({weight.size(0), rows.size(0), rows.size(1)}) : rows;
  };
  if (RoundsFactors(matmul_dtype) && x.scalar_type() == at::kFloat) {
    const at::Tensor a = x.to(at::kBFloat16);
    const at::Tensor b = weight.to(at::kBFloat16);
    const at::Tensor product = weight.dim() == 2 ? at::mm(a, b) : at::bmm(for_members(a), b);
    return product.to(at::kFloat) + PerMember(bias);
  }
  if (weight.dim() == 2) return at::addmm(bias, x, weight);
  return at::baddbmm(bias.unsqueeze(1), for_members(x), weight);
}

// The definition that kernels/norm.cc fuses; float64 and GPUs compute with it, and tests compare
// both.
at::Tensor NormedLinear(const at::Tensor& x, const NormedLinearParameters& p) {
  at::Tensor y = Linear(x, p.weight, p.bias, p.matmul_dtype);
  if (p.dropout.defined()) y = y * p.dropout;
  // The norm's own affine step would share its weights between the members of an ensemble.
  y = at::layer_norm(y, {y.size(-1)}) * PerMember(p.norm_weight) + PerMember(p.norm_bias);
  if (p.simnorm_dim == 0) return at::mish(y);
  return at::softmax(y.unflatten(-1, {y.size(-1) / p.simnorm_dim, p.simnorm_dim}), -1).flatten(-2);
}

at::Tensor Symlog(const at::Tensor& x) { return x.sign() * x.abs().log1p(); }

at::Tensor Symexp(const at::Tensor& x) { return x.sign() * x.abs().expm1(); }

at::Tensor TwoHotDecode(const at::Tensor& logits, const Bins& bins) {
  POMPC_CHECK_EQ(logits.size(-1), bins.count);
  if (!HasTwoHotKernel(logits, bins)) return reference::TwoHotDecode(logits, bins);
  if (at::GradMode::is_enabled() && logits.requires_grad()) {
    return TwoHotDecodeFunction::apply(logits.contiguous(), bins);
  }
  return DecodeForward(logits.contiguous(), bins);
}

at::Tensor TwoHotCrossEntropy(const at::Tensor& logits, const at::Tensor& targets,
                              const at::Tensor& weights, const Bins& bins) {
  // The kernel follows raw pointers for as many rows as there are targets.
  POMPC_CHECK_EQ(logits.size(-1), bins.count);
  POMPC_CHECK_EQ(logits.size(-2), targets.numel());
  POMPC_CHECK_EQ(weights.numel(), targets.numel());
  if (!HasTwoHotKernel(logits, bins))
    return reference::TwoHotCrossEntropy(logits, targets, weights, bins);
  return TwoHotCrossEntropyFunction::apply(logits.contiguous(), targets.contiguous(),
                                           weights.contiguous(), bins);
}

at::Tensor WeightedSquaredError(const at::Tensor& prediction, const at::Tensor& target,
                                const at::Tensor& weights) {
  POMPC_CHECK(prediction.sizes() == target.sizes() && prediction.size(0) == weights.numel());
  if (ReferenceScope::active()) return reference::WeightedSquaredError(prediction, target, weights);
  return WeightedSquaredErrorFunction::apply(prediction, target, weights);
}

at::Tensor TwoHotEncode(const at::Tensor& values, const Bins& bins) {
  const at::Tensor position =
      ((Symlog(values) - bins.low) / bins.width()).clamp(0, bins.count - 1).unsqueeze(-1);
  // Two-hot is linear interpolation: the weight of a bin falls linearly to zero at its neighbours'
  // centres.
  return (1 - (position - BinNumbers(values, bins)).abs()).clamp_min(0);
}

namespace reference {

at::Tensor TwoHotDecode(const at::Tensor& logits, const Bins& bins) {
  // The mean is taken in symlog space and mapped back after that, as TD-MPC2 does.
  const at::Tensor centers = BinNumbers(logits, bins) * bins.width() + bins.low;
  return Symexp(at::matmul(at::softmax(logits, -1), centers));
}

at::Tensor TwoHotCrossEntropy(const at::Tensor& logits, const at::Tensor& targets,
                              const at::Tensor& weights, const Bins& bins) {
  const at::Tensor two_hot = TwoHotEncode(targets, bins) * weights.unsqueeze(-1);
  const double members = logits.dim() == 3 ? static_cast<double>(logits.size(0)) : 1;
  return -(at::log_softmax(logits, -1) * two_hot).sum() / members;
}

at::Tensor WeightedSquaredError(const at::Tensor& prediction, const at::Tensor& target,
                                const at::Tensor& weights) {
  return ((prediction - target).square().mean(1) * weights).sum();
}

}  // namespace reference
}  // namespace pompc::model
