// One Adam step over a flat vector, in one pass.
#ifndef POMPC_MODEL_KERNELS_ADAM_H_
#define POMPC_MODEL_KERNELS_ADAM_H_

#include <cstdint>

namespace pompc::model::kernels {

struct AdamFactors {
  float gradient_scale = 1;  // of clipping
  float beta1 = 0, beta2 = 0;
  float step_size = 0;                // learning rate / (1 - beta1^n)
  float inverse_sqrt_correction = 1;  // 1 / sqrt(1 - beta2^n)
  float epsilon = 0;
};

// m and v are the running moments. Thread-safe on different vectors. REQUIRES: count >= 0.
void AdamStep(const AdamFactors& factors, int64_t count, const float* gradient, float* m, float* v,
              float* parameters);

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_ADAM_H_
