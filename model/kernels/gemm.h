// Matrix products of float32 numbers: by a kernel of our own for the sizes of small networks on
// processors with AVX2 or AVX-512, where packing and other overheads cost BLAS libraries a fifth of
// their speed, and for all sizes where the BLAS does not know the processor; by the BLAS otherwise.
// On request in bfloat16, where the processor has it.
#ifndef POMPC_MODEL_KERNELS_GEMM_H_
#define POMPC_MODEL_KERNELS_GEMM_H_

#include <cstdint>

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

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_GEMM_H_
