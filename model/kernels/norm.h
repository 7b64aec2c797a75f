// LayerNorm with what stands around it in a network, in one pass over each row: bias and dropout
// before, Mish or SimNorm after. float32, row-major, single-threaded, thread-safe; pointers must
// not overlap except where said.
#ifndef POMPC_MODEL_KERNELS_NORM_H_
#define POMPC_MODEL_KERNELS_NORM_H_

#include <cstdint>

#include "model/kernels/gemm.h"

namespace pompc::model::kernels {

// REQUIRES: every width is a multiple of it.
inline constexpr int64_t kNormMultiple = 8;

// `members` blocks of `rows` rows of `width` numbers; parameters are [members, width].
struct NormShape {
  int64_t members = 1;
  int64_t rows = 0;
  int64_t width = 0;
  // SimNorm over groups of kNormMultiple follows the norm; otherwise Mish does.
  bool simnorm = false;
};

struct NormParameters {
  const float* bias = nullptr;
  const float* weight = nullptr;
  const float* shift = nullptr;
  // Multiplier after the bias [members, rows, width], or nullptr.
  const float* dropout = nullptr;
};

// output = activation(LayerNorm((y + bias) * dropout) * weight + shift). For a backward pass `y` is
// overwritten with the normalised values and `inverse_std` [members, rows] with their factors. If
// `inverse_std` is nullptr none follows: what `y` holds afterwards is not defined, and `output` may
// be `y`.
void NormForward(const NormShape& shape, const NormParameters& parameters, float* y,
                 float* inverse_std, float* output);

// One layer's norm in inference, after a product that has the bias in it already.
struct NormLayer {
  int64_t width = 0;
  bool simnorm = false;
  const float* weight = nullptr;
  const float* shift = nullptr;
};

// output = activation(LayerNorm(y) * weight + shift) for `rows` rows. Number is float or, with
// HasBfloat16(), Bfloat16.
template <typename Number>
void NormInfer(const NormLayer& layer, int64_t rows, RowsOf<const float> y, RowsOf<Number> output);

struct NormGradients {
  float* y = nullptr;  // [members, rows, width], overwritten; may be the output gradient itself
  // [members, width], added to; all three nullptr when not wanted.
  float* bias = nullptr;
  float* weight = nullptr;
  float* shift = nullptr;
};

// `normalized`, `inverse_std` and `output` as NormForward left them; `output` is read for SimNorm
// only.
void NormBackward(const NormShape& shape, const NormParameters& parameters, const float* normalized,
                  const float* inverse_std, const float* output, const float* output_gradient,
                  const NormGradients& gradients);

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_NORM_H_
