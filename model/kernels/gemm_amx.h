// Matrix products of numbers rounded to bfloat16, summed in float32, by the tile instructions (AMX)
// of newer processors: three to five times as fast as in float32 (docs/performance.md).
#ifndef POMPC_MODEL_KERNELS_GEMM_AMX_H_
#define POMPC_MODEL_KERNELS_GEMM_AMX_H_

#include "model/kernels/gemm.h"

namespace pompc::model::kernels {

// True if this processor has these instructions and the system lets this process use them.
// Thread-safe.
bool HasAmx();

// Rounds a and b to bfloat16 (to nearest, ties to even; subnormal numbers to zero) and multiplies.
// Thread-safe; each thread that calls it keeps a buffer, of 1 KiB for each row of the largest op(a)
// it has multiplied. REQUIRES: HasAmx().
void MultiplyAmx(const Gemm& gemm, const float* a, const float* b, float* c);

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_GEMM_AMX_H_
