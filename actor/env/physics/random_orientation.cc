#include "actor/env/physics/random_orientation.h"

#include <cmath>

namespace pompc::env {

std::array<double, 4> RandomOrientation(RandomState& random) {
  std::array<double, 4> quaternion;
  double squares = 0;
  for (double& x : quaternion) {
    x = random.Normal();
    squares += x * x;
  }
  for (double& x : quaternion) x /= std::sqrt(squares);
  return quaternion;
}

}  // namespace pompc::env
