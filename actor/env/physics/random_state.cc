#include "actor/env/physics/random_state.h"

#include <cmath>

namespace pompc::env {

double RandomState::Uniform() {
  const uint32_t high = engine_() >> 5;
  const uint32_t low = engine_() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

// Polar Box-Muller in numpy's legacy order: of a pair, the second number comes first.
double RandomState::Normal() {
  if (spare_normal_) {
    const double normal = *spare_normal_;
    spare_normal_.reset();
    return normal;
  }
  double x1, x2, r2;
  do {
    x1 = 2 * Uniform() - 1;
    x2 = 2 * Uniform() - 1;
    r2 = x1 * x1 + x2 * x2;
  } while (r2 >= 1 || r2 == 0);
  const double scale = std::sqrt(-2 * std::log(r2) / r2);
  spare_normal_ = scale * x1;
  return scale * x2;
}

}  // namespace pompc::env
