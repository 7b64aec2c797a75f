// Forward and backward pass of a whole multi-layer perceptron, or of members of an ensemble, in
// float32 on the CPU, matrix products in bfloat16 on request. Thread-safe; one thread apart from
// the matrix products.
#ifndef POMPC_MODEL_KERNELS_MLP_H_
#define POMPC_MODEL_KERNELS_MLP_H_

#include <cstdint>
#include <vector>

namespace pompc::model::kernels {

// Parameters of one layer of all members, member by member: weight [in, out], the others [out]. The
// norms of a layer without LayerNorm are nullptr.
template <typename Number>
struct LayerTensors {
  Number* weight = nullptr;
  Number* bias = nullptr;
  Number* norm_weight = nullptr;
  Number* norm_bias = nullptr;
};

struct MlpLayer {
  int64_t in = 0;
  int64_t out = 0;  // a multiple of kNormMultiple if the layer is normalised
  bool simnorm = false;
  bool bfloat16 = false;  // whether its matrix products round their factors: see Gemm
  LayerTensors<const float> parameters;
  // Gradients are added here; all nullptr: no gradients.
  LayerTensors<float> gradients;

  bool normed() const { return parameters.norm_weight != nullptr; }
};

using MlpLayers = std::vector<MlpLayer>;

// What one pass works on: `rows` rows for each of the members listed.
struct MlpPass {
  std::vector<int64_t> members = {0};
  int64_t rows = 0;
  // [rows, in], or [members.size(), rows, in] if not shared by the members.
  const float* x = nullptr;
  bool shared_x = true;
  // Multiplier of the first linear layer's output, [members.size(), rows, out of layer 0], or
  // nullptr.
  const float* dropout = nullptr;
};

// Floats of workspace of MlpInfer, of the tape that MlpForward leaves for MlpBackward, and of
// workspace of the latter.
int64_t InferWorkspaceSize(const MlpLayers& layers, const MlpPass& pass);
int64_t TapeSize(const MlpLayers& layers, const MlpPass& pass);
int64_t BackwardWorkspaceSize(const MlpLayers& layers, const MlpPass& pass);

// out [members.size(), rows, out of the last layer].
void MlpInfer(const MlpLayers& layers, const MlpPass& pass, float* workspace, float* out);
void MlpForward(const MlpLayers& layers, const MlpPass& pass, float* tape, float* out);

struct MlpBackwardArguments {
  const float* tape = nullptr;
  const float* out = nullptr;           // as MlpForward left it
  const float* out_gradient = nullptr;  // of out's shape
  bool train = false;                   // whether to add to the layers' gradients
  float* workspace = nullptr;
  float* x_gradient = nullptr;  // of x's shape, overwritten; nullptr: not wanted
};

// REQUIRES: `layers`, `pass` and `tape` are those of one MlpForward, and no parameter has changed
// since; with `train` the layers have gradients.
void MlpBackward(const MlpLayers& layers, const MlpPass& pass,
                 const MlpBackwardArguments& arguments);

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_MLP_H_
