#include "model/kernels/gemm.h"

// Declared here for want of a header that all BLAS packages share.
extern "C" void cblas_sgemm(int order, int transpose_a, int transpose_b, int m, int n, int k,
                            float alpha, const float* a, int lda, const float* b, int ldb,
                            float beta, float* c, int ldc);

namespace pompc::model::kernels {

void Multiply(const Gemm& gemm, const float* a, const float* b, float* c) {
  constexpr int kRowMajor = 101;
  constexpr int kPlain = 111;
  constexpr int kTransposed = 112;
  const int m = static_cast<int>(gemm.m);
  const int n = static_cast<int>(gemm.n);
  const int k = static_cast<int>(gemm.k);
  cblas_sgemm(kRowMajor, gemm.transpose_a ? kTransposed : kPlain,
              gemm.transpose_b ? kTransposed : kPlain, m, n, k, 1.0f, a, gemm.transpose_a ? m : k,
              b, gemm.transpose_b ? k : n, gemm.accumulate ? 1.0f : 0.0f, c, n);
}

}  // namespace pompc::model::kernels
