// A multi-layer perceptron whose weights are packed once for many passes without gradients, as
// planning makes them.
#ifndef POMPC_MODEL_KERNELS_PACKED_MLP_H_
#define POMPC_MODEL_KERNELS_PACKED_MLP_H_

#include <cstdint>
#include <type_traits>
#include <vector>

#include "model/kernels/gemm.h"
#include "model/kernels/gemm_bfloat16.h"
#include "model/kernels/mlp.h"

namespace pompc::model::kernels {

// A pass keeps the activations of its rows here. Both have room for a multiple of 16 rows.
template <typename Number>
struct MlpScratch {
  RowsOf<float> sums;     // stride: widest_sums() or more
  RowsOf<Number> hidden;  // stride: widest_hidden() or more; zero at first
};

// Number is what products multiply: float, or Bfloat16 with HasBfloat16(). Sums and norms are
// float32. Rows of x have finite numbers up to a multiple of kBfloat16Multiple. Immutable,
// thread-safe, one thread.
template <typename Number>
class PackedMlp {
 public:
  using Matrix =
      std::conditional_t<std::is_same_v<Number, float>, PackedMatrix, PackedBfloat16Matrix>;

  // The factor of the first product and what its sums begin with.
  struct First {
    const Matrix* weights;
    const float* start;
  };

  PackedMlp() = default;
  // Copies the parameters of one member of `layers`. Passes can be made of all of x, or of what
  // follows its first `prefix_width` numbers. Columns beyond the last layer's outputs are
  // `last_padding`.
  PackedMlp(const MlpLayers& layers, int64_t member, int64_t prefix_width = 0,
            float last_padding = 0);

  // For passes of all of x.
  First Whole() const { return {&layers_.front().weights, layers_.front().bias.data()}; }
  // For passes of rows that begin with the same prefix, of which x has the rest.
  First AfterPrefix(const float* start) const { return {&after_prefix_, start}; }
  // The start of such passes, start_size() numbers, from a row of x with this prefix and zeros.
  void StartOf(RowsOf<const Number> prefix, float* start) const;
  int64_t start_size() const { return PaddedColumns(layers_.front().weights.out()); }

  // The outputs of a network whose last layer is linear, in the scratch. Columns are padded to a
  // multiple of kColumnMultiple.
  RowsOf<const float> Outputs(int64_t rows, const First& first, RowsOf<const Number> x,
                              const MlpScratch<Number>& scratch) const;
  // The outputs of a network whose last layer is normalised. `out` may be x.
  void NormedOutputs(int64_t rows, const First& first, RowsOf<const Number> x,
                     const MlpScratch<Number>& scratch, RowsOf<Number> out) const;

  int64_t widest_sums() const;
  int64_t widest_hidden() const;

 private:
  struct Layer {
    Matrix weights;
    std::vector<float> bias;                // padded like the sums
    std::vector<float> norm_weight, shift;  // empty: no norm
    bool simnorm = false;
  };

  // All layers' sums and all norms but the last layer's.
  void Run(int64_t rows, const First& first, RowsOf<const Number> x,
           const MlpScratch<Number>& scratch) const;
  void Norm(const Layer& layer, int64_t rows, RowsOf<const float> sums, RowsOf<Number> out) const;

  std::vector<Layer> layers_;
  Matrix after_prefix_;
};

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_PACKED_MLP_H_
