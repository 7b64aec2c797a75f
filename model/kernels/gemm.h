// Matrix products of float32 numbers: by a kernel of our own for the sizes of small networks on
// processors with AVX2 or AVX-512, where packing and other overheads cost BLAS libraries a fifth of
// their speed, and for all sizes where the BLAS does not know the processor; by the BLAS otherwise.
// On request in bfloat16, where the processor has it.
#ifndef POMPC_MODEL_KERNELS_GEMM_H_
#define POMPC_MODEL_KERNELS_GEMM_H_

#include <cstdint>
#include <vector>

namespace pompc::model::kernels {

// c [m, n] = op(a) [m, k] op(b) [k, n], or c += where `accumulate`. All row-major without gaps: a
// is stored [m, k], or [k, m] if transposed; b [k, n], or [n, k].
struct Gemm {
  bool transpose_a = false;
  bool transpose_b = false;
  int64_t m = 0, n = 0, k = 0;
  bool accumulate = false;
  // Lets a and b be rounded to bfloat16; sums are float32. Ignored without HasBfloat16()
  // (kernels/gemm_bfloat16.h).
  bool bfloat16 = false;
};

// Thread-safe. The BLAS uses threads inside as SetBlasThreads says, the kernels none.
void Multiply(const Gemm& gemm, const float* a, const float* b, float* c);

// The products that Multiply chooses from, beside MultiplyBfloat16; tests compare them.
// MultiplySmall runs anywhere, and is fast where Multiply takes it.
void MultiplySmall(const Gemm& gemm, const float* a, const float* b, float* c);
void MultiplyBlas(const Gemm& gemm, const float* a, const float* b, float* c);

// A right factor [in, out] that is packed once for many products: for the instructions of this
// processor, with the columns that whole vectors need. Immutable.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // Copies the row-major `weight`.
  PackedMatrix(int64_t in, int64_t out, const float* weight);

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  // Laid out as gemm.cc says.
  const float* data() const { return lines_.front().numbers; }

 private:
  struct alignas(64) Line {
    float numbers[16];
  };

  int64_t in_ = 0, out_ = 0;
  std::vector<Line> lines_;
};

// The number of columns of y in a packed product with a factor of `out` columns.
inline constexpr int64_t kColumnMultiple = 16;
constexpr int64_t PaddedColumns(int64_t out) {
  return (out + kColumnMultiple - 1) / kColumnMultiple * kColumnMultiple;
}

// Rows of activations: `stride` numbers from one to the next.
template <typename Number>
struct RowsOf {
  Number* data = nullptr;
  int64_t stride = 0;

  RowsOf From(int64_t row) const { return {data + row * stride, stride}; }
};

// y [rows, PaddedColumns(out)] = start [PaddedColumns(out)] in every row + x [rows, in] weights.
// Columns from `out` on are those of start. Thread-safe, one thread. REQUIRES: `y` overlaps
// nothing.
void MultiplyPacked(const PackedMatrix& weights, int64_t rows, RowsOf<const float> x,
                    const float* start, RowsOf<float> y);

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_GEMM_H_
