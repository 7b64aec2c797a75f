// Matrix products of the sizes of small networks, on one thread: by the kernels of model/kernels,
// in float32 and in bfloat16 (AMX or AVX512_BF16), and by the BLAS. `flops` are those of the
// product alone, a second.
#include <benchmark/benchmark.h>

#include <vector>

#include "model/device.h"
#include "model/kernels/gemm.h"
#include "model/kernels/gemm_bfloat16.h"

namespace pompc::model::kernels {
namespace {

using Function = void (*)(const Gemm& gemm, const float* a, const float* b, float* c);

void BM_Multiply(benchmark::State& state, Function multiply, bool transpose_a, bool transpose_b) {
  if (multiply == &MultiplyBfloat16 && !HasBfloat16()) {
    state.SkipWithError("this processor has neither AVX512_BF16 nor AMX");
    return;
  }
  SetComputeThreads(1);
  SetBlasThreads(1);
  Gemm gemm;
  gemm.transpose_a = transpose_a;
  gemm.transpose_b = transpose_b;
  gemm.m = state.range(0);
  gemm.n = state.range(1);
  gemm.k = state.range(2);
  const std::vector<float> a(static_cast<size_t>(gemm.m * gemm.k), 0.5f);
  const std::vector<float> b(static_cast<size_t>(gemm.k * gemm.n), 0.25f);
  std::vector<float> c(static_cast<size_t>(gemm.m * gemm.n));
  for (auto _ : state) {
    multiply(gemm, a.data(), b.data(), c.data());
    benchmark::DoNotOptimize(c.data());
  }
  const double flops = 2.0 * static_cast<double>(gemm.m * gemm.n * gemm.k);
  state.counters["flops"] = benchmark::Counter(flops * static_cast<double>(state.iterations()),
                                               benchmark::Counter::kIsRate);
}

// Rows of a batch of 128 windows times layers of 128, and of 256 times 512: forward, gradient of
// the input, gradient of the weights.
void Forward(benchmark::internal::Benchmark* bench) {
  bench->Args({384, 128, 65})->Args({384, 128, 128})->Args({384, 101, 128})->Args({768, 512, 512});
}
void Weights(benchmark::internal::Benchmark* bench) {
  bench->Args({128, 128, 384})->Args({128, 101, 384})->Args({512, 512, 768});
}

BENCHMARK_CAPTURE(BM_Multiply, kernel_forward, MultiplySmall, false, false)->Apply(Forward);
BENCHMARK_CAPTURE(BM_Multiply, bfloat16_forward, MultiplyBfloat16, false, false)->Apply(Forward);
BENCHMARK_CAPTURE(BM_Multiply, blas_forward, MultiplyBlas, false, false)->Apply(Forward);
BENCHMARK_CAPTURE(BM_Multiply, kernel_input, MultiplySmall, false, true)->Apply(Forward);
BENCHMARK_CAPTURE(BM_Multiply, bfloat16_input, MultiplyBfloat16, false, true)->Apply(Forward);
BENCHMARK_CAPTURE(BM_Multiply, blas_input, MultiplyBlas, false, true)->Apply(Forward);
BENCHMARK_CAPTURE(BM_Multiply, kernel_weights, MultiplySmall, true, false)->Apply(Weights);
BENCHMARK_CAPTURE(BM_Multiply, bfloat16_weights, MultiplyBfloat16, true, false)->Apply(Weights);
BENCHMARK_CAPTURE(BM_Multiply, blas_weights, MultiplyBlas, true, false)->Apply(Weights);

}  // namespace
}  // namespace pompc::model::kernels

BENCHMARK_MAIN();
