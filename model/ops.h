// The differentiable operations that networks and losses are made of. Thread-safe. The two-hot
// operations run fused kernels with their own backward passes on the CPU in float32, otherwise the
// ATen operations of namespace `reference`, which the tests compare them with.
#ifndef POMPC_MODEL_OPS_H_
#define POMPC_MODEL_OPS_H_

#include "model/torch_compat.h"
#include "proto/config.pb.h"

namespace pompc::model {

// The bins of two-hot heads, evenly spread over [low, high] in symlog space.
struct Bins {
  int count = 0;
  double low = 0;
  double high = 0;

  double width() const { return (high - low) / (count - 1); }
};

Bins BinsOf(const proto::ModelConfig& config);

// x W + b. x [R, in] or [M, R, in]; W [in, out] or [M, in, out], b [out] or [M, out]. A
// two-dimensional x is shared by the members of a three-dimensional W. With BFLOAT16 float32
// tensors are rounded before they are multiplied, on any device, and the product is rounded too.
at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  proto::ModelConfig::MatmulDtype matmul_dtype = proto::ModelConfig::FLOAT32);
// Each row `count` times in succession: [S, L] -> [S * count, L].
at::Tensor RepeatRows(const at::Tensor& rows, int64_t count);

// True if the factors of matrix products are to be rounded where that is faster.
inline bool RoundsFactors(proto::ModelConfig::MatmulDtype matmul_dtype) {
  return matmul_dtype != proto::ModelConfig::FLOAT32;
}

struct NormedLinearParameters {
  at::Tensor weight, bias;            // as in Linear
  at::Tensor norm_weight, norm_bias;  // [out] or [M, out]
  at::Tensor dropout;   // multiplier of the linear layer's output, of its shape; undefined: none
  int simnorm_dim = 0;  // 0: Mish
  proto::ModelConfig::MatmulDtype matmul_dtype = proto::ModelConfig::FLOAT32;
};

// activation(LayerNorm(dropout * (x W + b))), TD-MPC2's NormedLinear: the activation is Mish, or
// SimNorm (softmax over groups of simnorm_dim).
at::Tensor NormedLinear(const at::Tensor& x, const NormedLinearParameters& parameters);

// sign(x) ln(1 + |x|) and its inverse.
at::Tensor Symlog(const at::Tensor& x);
at::Tensor Symexp(const at::Tensor& x);

// symexp of the mean bin centre under softmax(logits): [..., bins] -> [...].
at::Tensor TwoHotDecode(const at::Tensor& logits, const Bins& bins);

// sum_r weights[r] CE(two-hot(targets[r]), logits[r]), a scalar. logits [R, bins], or [M, R, bins]
// for an ensemble, over whose members the sum is averaged; targets [R] in plain units, clamped to
// the bins' range; weights [R]. Differentiable in the logits alone. REQUIRES: these shapes.
at::Tensor TwoHotCrossEntropy(const at::Tensor& logits, const at::Tensor& targets,
                              const at::Tensor& weights, const Bins& bins);

// sum_r weights[r] mean((prediction[r] - target[r])^2), a scalar, from [R, width] and weights [R].
// Differentiable in the prediction alone. REQUIRES: these shapes.
at::Tensor WeightedSquaredError(const at::Tensor& prediction, const at::Tensor& target,
                                const at::Tensor& weights);

// Two-hot vectors [..., bins] of values [...].
at::Tensor TwoHotEncode(const at::Tensor& values, const Bins& bins);

// While an object of this class lives, its thread computes with ATen's operations even where there
// are kernels: in the operations above, networks, losses and optimisers. (Random draws give the
// same numbers either way.) For tests and benches that compare the two. Scopes may be nested.
class ReferenceScope {
 public:
  ReferenceScope();
  ~ReferenceScope();
  ReferenceScope(const ReferenceScope&) = delete;
  ReferenceScope& operator=(const ReferenceScope&) = delete;

  // True while this thread is in a scope.
  static bool active();
};

namespace reference {

at::Tensor TwoHotDecode(const at::Tensor& logits, const Bins& bins);
at::Tensor TwoHotCrossEntropy(const at::Tensor& logits, const at::Tensor& targets,
                              const at::Tensor& weights, const Bins& bins);
at::Tensor WeightedSquaredError(const at::Tensor& prediction, const at::Tensor& target,
                                const at::Tensor& weights);

}  // namespace reference
}  // namespace pompc::model

#endif  // POMPC_MODEL_OPS_H_
