// Matrix products of numbers rounded to bfloat16 and summed in float32: by the tile instructions
// (AMX) of newer Xeons, or by AVX-512's products of pairs (AVX512_BF16), which newer EPYCs have
// (docs/performance.md has their speed).
#ifndef POMPC_MODEL_KERNELS_GEMM_BFLOAT16_H_
#define POMPC_MODEL_KERNELS_GEMM_BFLOAT16_H_

#include <cstdint>
#include <vector>

#include "model/kernels/gemm.h"
#include "model/kernels/instructions.h"

namespace pompc::model::kernels {

// True if this processor has one of the two (kernels/instructions.h). Thread-safe.
bool HasBfloat16();

// Rounds a and b to bfloat16 (to nearest, ties to even; subnormal numbers to zero) and multiplies.
// Thread-safe; each thread that calls it keeps a buffer, of 1 KiB for each row of the largest op(a)
// it has multiplied. REQUIRES: HasBfloat16().
void MultiplyBfloat16(const Gemm& gemm, const float* a, const float* b, float* c);

// The bits of a number.
using Bfloat16 = uint16_t;

// To nearest, ties to even; a NaN stays one.
inline Bfloat16 ToBfloat16(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<Bfloat16>((bits >> 16) | 0x40);
  return static_cast<Bfloat16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// A right factor [in, out], rounded and packed once for many products. Immutable.
class PackedBfloat16Matrix {
 public:
  PackedBfloat16Matrix() = default;
  // Copies the row-major `weight`. REQUIRES: HasBfloat16().
  PackedBfloat16Matrix(int64_t in, int64_t out, const float* weight);

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  // Laid out as gemm_bfloat16.cc says.
  const Bfloat16* data() const { return lines_.front().numbers; }

 private:
  struct alignas(64) Line {
    Bfloat16 numbers[32];
  };

  int64_t in_ = 0, out_ = 0;
  std::vector<Line> lines_;
};

// Rows of x are read to a multiple of this many numbers, and rows to a multiple of half as many.
inline constexpr int64_t kBfloat16Multiple = 32;

// The product is that of a PackedMatrix (kernels/gemm.h). REQUIRES: x has room for what is read
// beyond its rows and columns; what is there in the columns is finite.
void MultiplyPacked(const PackedBfloat16Matrix& weights, int64_t rows, RowsOf<const Bfloat16> x,
                    const float* start, RowsOf<float> y);

// Calls `function`, a POMPC_INLINE_LAMBDA, in the version that was compiled for processors with
// AVX512_BF16, as CallBest does. REQUIRES: HasBfloat16().
template <typename Function>
void CallBfloat16(const Function& function) {
#ifdef POMPC_TARGET
  instructions_internal::CallAvx512Bf16(function);
#endif
}

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_GEMM_BFLOAT16_H_
