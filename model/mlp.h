// A multi-layer perceptron, or an ensemble of equal ones, over a slice of a flat parameter vector.
#ifndef POMPC_MODEL_MLP_H_
#define POMPC_MODEL_MLP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/kernels/mlp.h"
#include "model/parameters.h"
#include "model/torch_compat.h"
#include "proto/config.pb.h"

namespace pompc::model {

// Layers: Linear -> LayerNorm -> Mish for every hidden size, then a Linear; if simnorm_dim > 0 the
// last layer too is normalised (LayerNorm) and followed by SimNorm over groups of that size.
struct MlpSpec {
  std::string name;
  // 0: one network; otherwise the members of an ensemble, whose tensors get a leading dimension.
  int members = 0;
  int input = 0;
  std::vector<int> hidden;
  int output = 0;
  int simnorm_dim = 0;
  // The last layer's weights start at zero.
  bool zero_last = false;
  // Weights and biases start as U(-1, 1) / sqrt(inputs of the layer), PyTorch's own way, instead of
  // N(0, 0.02) and zero.
  bool uniform_start = false;
  proto::ModelConfig::MatmulDtype matmul_dtype = proto::ModelConfig::FLOAT32;

  int64_t NumParameters() const;
};

// On the CPU in float32, with widths that are multiples of 8 and SimNorm over groups of 8, a pass
// over the whole network is one kernel and one node of the autograd graph (at::mish alone would
// cost more than the matrix products there); elsewhere, and in a ReferenceScope, it is made of ATen
// operations. A handle: copies share tensors. Forward is thread-safe; EnableGradients needs
// exclusion by the caller.
class Mlp {
 public:
  // Views `flat`, which stays shared with the caller. REQUIRES: it has spec.NumParameters()
  // elements.
  Mlp(MlpSpec spec, at::Tensor flat);

  // Overwrites the parameters with initial ones, a function of (seed, spec.name).
  void Initialize(uint64_t seed) const;

  // The way in which Forward treats its parameters, and the dropout after the first linear layer.
  struct Options {
    // Gradients flow into the parameters. REQUIRES: EnableGradients was called.
    bool train = false;
    // Multiplier of the first layer's output (inverted dropout), [members, rows, hidden[0]], or
    // undefined for none.
    at::Tensor dropout;
    // Members to evaluate, int64 [M] on the parameters' device, or undefined for all. Row block k
    // of the output is member members[k].
    at::Tensor members;
  };

  // x [..., input] -> [..., output]; an ensemble takes x [..., input], shared by all its members,
  // or [members, ..., input], and gives [members, ..., output].
  at::Tensor Forward(const at::Tensor& x) const { return Forward(x, Options()); }
  at::Tensor Forward(const at::Tensor& x, const Options& options) const;

  // Makes Forward with `train` differentiable in the parameters; gradients accumulate into
  // `flat_gradient`, which stays shared with the caller. REQUIRES: it is as long as flat().
  void EnableGradients(at::Tensor flat_gradient);

  NamedTensors Parameters() const;
  const MlpSpec& spec() const { return spec_; }
  const at::Tensor& flat() const { return flat_; }
  // The layers as kernels see them; nullptr where there are no kernels.
  const kernels::MlpLayers* kernel_layers() const { return kernel_layers_.get(); }

 private:
  struct Layer {
    at::Tensor weight, bias, norm_weight, norm_bias;
  };

  std::vector<Layer> MakeLayers(const at::Tensor& flat) const;
  // layers_ as kernels see them, with these gradients or, if empty, without.
  std::shared_ptr<const kernels::MlpLayers> MakeKernelLayers(
      const std::vector<Layer>& gradients) const;
  // x [rows, input] or [members, rows, input].
  at::Tensor ForwardReference(const at::Tensor& x, const Options& options) const;
  at::Tensor ForwardKernel(const at::Tensor& x, const Options& options) const;
  bool UsesKernels() const;

  MlpSpec spec_;
  at::Tensor flat_;
  std::vector<Layer> layers_;
  // The same tensors as leaves of the autograd graph; empty until EnableGradients.
  std::vector<Layer> leaves_;
  at::Tensor flat_gradient_;
  // The layers as kernels see them, with their gradients after EnableGradients; nullptr where there
  // are no kernels.
  std::shared_ptr<const kernels::MlpLayers> kernel_layers_;
};

}  // namespace pompc::model

#endif  // POMPC_MODEL_MLP_H_
