#include "model/kernels/adam.h"

#include <cstdint>

#include "common/base/check.h"
#include "model/kernels/vector_math.h"

namespace pompc::model::kernels {
namespace {

POMPC_INLINE void AdamStepHere(const AdamFactors& factors, int64_t count, const float* gradient,
                               float* m, float* v, float* parameters) {
  POMPC_DCHECK(count >= 0);
  // A copy, and pointers that promise not to overlap: the stores below could otherwise change the
  // factors, and the compiler would have to read them again each time.
  const AdamFactors f = factors;
  const float* __restrict g = gradient;
  float* __restrict mean = m;
  float* __restrict square = v;
  float* __restrict p = parameters;
  for (int64_t i = 0; i < count; ++i) {
    const float scaled = g[i] * f.gradient_scale;
    mean[i] = f.beta1 * mean[i] + (1 - f.beta1) * scaled;
    square[i] = f.beta2 * square[i] + (1 - f.beta2) * scaled * scaled;
    // Both bias corrections are in the factors, so that they are computed once for a step.
    const float denominator = __builtin_sqrtf(square[i]) * f.inverse_sqrt_correction + f.epsilon;
    p[i] -= f.step_size * mean[i] / denominator;
  }
}

}  // namespace

void AdamStep(const AdamFactors& factors, int64_t count, const float* gradient, float* m, float* v,
              float* parameters) {
  CallBest([&](auto)
               POMPC_INLINE_LAMBDA { AdamStepHere(factors, count, gradient, m, v, parameters); });
}

}  // namespace pompc::model::kernels
