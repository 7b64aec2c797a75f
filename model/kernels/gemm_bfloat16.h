// Matrix products of numbers rounded to bfloat16 and summed in float32: by the tile instructions
// (AMX) of newer Xeons, or by AVX-512's products of pairs (AVX512_BF16), which newer EPYCs have
// (docs/performance.md has their speed).
#ifndef POMPC_MODEL_KERNELS_GEMM_BFLOAT16_H_
#define POMPC_MODEL_KERNELS_GEMM_BFLOAT16_H_

#include "model/kernels/gemm.h"

namespace pompc::model::kernels {

// True if this processor has one of the two (kernels/instructions.h). Thread-safe.
bool HasBfloat16();

// Rounds a and b to bfloat16 (to nearest, ties to even; subnormal numbers to zero) and multiplies.
// Thread-safe; each thread that calls it keeps a buffer, of 1 KiB for each row of the largest op(a)
// it has multiplied. REQUIRES: HasBfloat16().
void MultiplyBfloat16(const Gemm& gemm, const float* a, const float* b, float* c);

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_GEMM_BFLOAT16_H_
