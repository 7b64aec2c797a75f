#include "model/kernels/mlp.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "model/kernels/gemm.h"
#include "model/kernels/norm.h"

namespace pompc::model::kernels {
namespace {

// Rows of inference taken through all layers together: their activations stay in the second-level
// cache.
constexpr int64_t kInferRows = 256;

int64_t Widest(const MlpLayers& layers) {
  int64_t widest = 0;
  for (const MlpLayer& layer : layers) widest = std::max(widest, layer.out);
  return widest;
}

template <typename Number>
LayerTensors<Number> OfMember(const LayerTensors<Number>& tensors, const MlpLayer& layer,
                              int64_t member) {
  const auto at = [&](Number* p, int64_t size) {
    return p == nullptr ? nullptr : p + member * size;
  };
  return {at(tensors.weight, layer.in * layer.out), at(tensors.bias, layer.out),
          at(tensors.norm_weight, layer.out), at(tensors.norm_bias, layer.out)};
}

// What the forward pass of one member leaves of one layer.
template <typename Number>
struct LayerTape {
  Number* normalized;   // [rows, out]
  Number* inverse_std;  // [rows]
  Number* output;       // [rows, out]
};

int64_t LayerTapeSize(const MlpLayer& layer, int64_t rows) {
  return layer.normed() ? rows * (2 * layer.out + 1) : 0;
}

int64_t MemberTapeSize(const MlpLayers& layers, int64_t rows) {
  int64_t size = 0;
  for (const MlpLayer& layer : layers) size += LayerTapeSize(layer, rows);
  return size;
}

template <typename Number>
std::vector<LayerTape<Number>> TapesOf(const MlpLayers& layers, int64_t rows, Number* tape) {
  std::vector<LayerTape<Number>> tapes;
  for (const MlpLayer& layer : layers) {
    tapes.push_back({tape, tape + rows * layer.out, tape + rows * (layer.out + 1)});
    tape += LayerTapeSize(layer, rows);
  }
  return tapes;
}

NormParameters NormOf(const LayerTensors<const float>& parameters, const float* dropout) {
  return {parameters.bias, parameters.norm_weight, parameters.norm_bias, dropout};
}

Gemm ForwardGemm(const MlpLayer& layer, int64_t rows) {
  Gemm gemm;
  gemm.m = rows;
  gemm.n = layer.out;
  gemm.k = layer.in;
  gemm.bfloat16 = layer.bfloat16;
  return gemm;
}

// y = x W.
void Product(const MlpLayer& layer, int64_t rows, const float* x, const float* weight, float* y) {
  Multiply(ForwardGemm(layer, rows), x, weight, y);
}

// y = x W + b: y starts as b, and the product is added to it.
void Affine(const MlpLayer& layer, int64_t rows, const float* x, const LayerTensors<const float>& p,
            float* y) {
  for (int64_t row = 0; row < rows; ++row) {
    std::memcpy(y + row * layer.out, p.bias, static_cast<size_t>(layer.out) * sizeof(float));
  }
  Gemm gemm = ForwardGemm(layer, rows);
  gemm.accumulate = true;
  Multiply(gemm, x, p.weight, y);
}

// `rows` rows of one member. One buffer is read while the other is written, layer by layer; norms
// work in place.
void InferRows(const MlpLayers& layers, int64_t member, int64_t rows, const float* x,
               const float* dropout, float* workspace, float* out) {
  float* buffers[2] = {workspace, workspace + rows * Widest(layers)};
  const float* input = x;
  for (size_t i = 0; i < layers.size(); ++i) {
    const MlpLayer& layer = layers[i];
    const LayerTensors<const float> p = OfMember(layer.parameters, layer, member);
    float* y = i + 1 == layers.size() ? out : buffers[i % 2];
    if (layer.normed()) {
      Product(layer, rows, input, p.weight, y);
      NormForward({1, rows, layer.out, layer.simnorm}, NormOf(p, i == 0 ? dropout : nullptr), y,
                  nullptr, y);
    } else {
      Affine(layer, rows, input, p, y);
    }
    input = y;
  }
}

void ForwardMember(const MlpLayers& layers, int64_t member, int64_t rows, const float* x,
                   const float* dropout, float* tape, float* out) {
  const auto tapes = TapesOf(layers, rows, tape);
  const float* input = x;
  for (size_t i = 0; i < layers.size(); ++i) {
    const MlpLayer& layer = layers[i];
    const LayerTensors<const float> p = OfMember(layer.parameters, layer, member);
    float* y = i + 1 == layers.size() ? out : tapes[i].output;
    if (layer.normed()) {
      Product(layer, rows, input, p.weight, tapes[i].normalized);
      NormForward({1, rows, layer.out, layer.simnorm}, NormOf(p, i == 0 ? dropout : nullptr),
                  tapes[i].normalized, tapes[i].inverse_std, y);
    } else {
      Affine(layer, rows, input, p, y);
    }
    input = y;
  }
}

void AddColumnSums(int64_t rows, int64_t width, const float* x, float* sums) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < width; ++i) sums[i] += x[row * width + i];
  }
}

struct MemberBackward {
  int64_t member;
  int64_t rows;
  const float* x;
  const float* dropout;
  const float* out;
  const float* out_gradient;
  float* x_gradient;
  bool add_to_x_gradient;
};

// From the last layer to the first. One buffer holds the gradient of a layer's linear output, the
// other that of its input, which is the output of the layer below; then they change places. Where
// nobody wants the gradient of x the walk ends at the first layer's weights.
void BackwardMember(const MlpLayers& layers, const MemberBackward& pass, bool train,
                    const float* tape, float* workspace) {
  const int64_t rows = pass.rows;
  const auto tapes = TapesOf(layers, rows, tape);
  float* buffers[2] = {workspace, workspace + rows * Widest(layers)};
  const float* gradient = pass.out_gradient;
  for (size_t i = layers.size(); i-- > 0;) {
    const MlpLayer& layer = layers[i];
    const LayerTensors<const float> p = OfMember(layer.parameters, layer, pass.member);
    LayerTensors<float> sums;
    if (train) sums = OfMember(layer.gradients, layer, pass.member);
    if (layer.normed()) {
      const float* output = i + 1 == layers.size() ? pass.out : tapes[i].output;
      NormBackward({1, rows, layer.out, layer.simnorm}, NormOf(p, i == 0 ? pass.dropout : nullptr),
                   tapes[i].normalized, tapes[i].inverse_std, output, gradient,
                   {buffers[0], sums.bias, sums.norm_weight, sums.norm_bias});
      gradient = buffers[0];
    } else if (train) {
      AddColumnSums(rows, layer.out, gradient, sums.bias);
    }
    if (train) {
      const float* input = i == 0 ? pass.x : tapes[i - 1].output;
      // dW += x^T g
      const Gemm gemm{/*transpose_a=*/true, false, layer.in,      layer.out,
                      rows,                 /*accumulate=*/true, layer.bfloat16};
      Multiply(gemm, input, gradient, sums.weight);
    }
    float* below = i == 0 ? pass.x_gradient : buffers[1];
    if (below == nullptr) return;
    // dx = g W^T
    const Gemm gemm{false,     /*transpose_b=*/true,
                    rows,      layer.in,
                    layer.out, /*accumulate=*/i == 0 && pass.add_to_x_gradient,
                    layer.bfloat16};
    Multiply(gemm, gradient, p.weight, below);
    gradient = below;
    std::swap(buffers[0], buffers[1]);
  }
}

}  // namespace

int64_t InferWorkspaceSize(const MlpLayers& layers, const MlpPass& pass) {
  return 2 * std::min(pass.rows, kInferRows) * Widest(layers);
}

int64_t TapeSize(const MlpLayers& layers, const MlpPass& pass) {
  return static_cast<int64_t>(pass.members.size()) * MemberTapeSize(layers, pass.rows);
}

int64_t BackwardWorkspaceSize(const MlpLayers& layers, const MlpPass& pass) {
  return 2 * pass.rows * Widest(layers);
}

void MlpInfer(const MlpLayers& layers, const MlpPass& pass, float* workspace, float* out) {
  POMPC_CHECK(!layers.empty());
  POMPC_DCHECK(pass.x != nullptr && workspace != nullptr);
  const int64_t in = layers.front().in;
  const int64_t first = layers.front().out;
  const int64_t last = layers.back().out;
  for (size_t k = 0; k < pass.members.size(); ++k) {
    const int64_t base = static_cast<int64_t>(k) * pass.rows;
    const float* x = pass.x + (pass.shared_x ? 0 : base * in);
    // All layers for a block of rows, not all rows for a layer: a block's activations stay in the
    // cache between layers.
    for (int64_t row = 0; row < pass.rows; row += kInferRows) {
      const int64_t rows = std::min(kInferRows, pass.rows - row);
      const float* dropout =
          pass.dropout == nullptr ? nullptr : pass.dropout + (base + row) * first;
      InferRows(layers, pass.members[k], rows, x + row * in, dropout, workspace,
                out + (base + row) * last);
    }
  }
}

void MlpForward(const MlpLayers& layers, const MlpPass& pass, float* tape, float* out) {
  POMPC_CHECK(!layers.empty());
  for (size_t k = 0; k < pass.members.size(); ++k) {
    const int64_t base = static_cast<int64_t>(k) * pass.rows;
    ForwardMember(layers, pass.members[k], pass.rows,
                  pass.x + (pass.shared_x ? 0 : base * layers.front().in),
                  pass.dropout == nullptr ? nullptr : pass.dropout + base * layers.front().out,
                  tape + static_cast<int64_t>(k) * MemberTapeSize(layers, pass.rows),
                  out + base * layers.back().out);
  }
}

void MlpBackward(const MlpLayers& layers, const MlpPass& pass,
                 const MlpBackwardArguments& arguments) {
  POMPC_CHECK(!layers.empty() && arguments.out_gradient != nullptr);
  POMPC_CHECK(!arguments.train || layers.front().gradients.weight != nullptr);
  const int64_t in = layers.front().in;
  for (size_t k = 0; k < pass.members.size(); ++k) {
    const int64_t base = static_cast<int64_t>(k) * pass.rows;
    const int64_t x_offset = pass.shared_x ? 0 : base * in;
    MemberBackward member;
    member.member = pass.members[k];
    member.rows = pass.rows;
    member.x = pass.x + x_offset;
    member.dropout = pass.dropout == nullptr ? nullptr : pass.dropout + base * layers.front().out;
    member.out = arguments.out + base * layers.back().out;
    member.out_gradient = arguments.out_gradient + base * layers.back().out;
    member.x_gradient = arguments.x_gradient == nullptr ? nullptr : arguments.x_gradient + x_offset;
    // Members that share x each add to its gradient; the first one overwrites it.
    member.add_to_x_gradient = pass.shared_x && k > 0;
    const float* tape =
        arguments.tape + static_cast<int64_t>(k) * MemberTapeSize(layers, pass.rows);
    BackwardMember(layers, member, arguments.train, tape, arguments.workspace);
  }
}

}  // namespace pompc::model::kernels
