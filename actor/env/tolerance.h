#ifndef POMPC_ACTOR_ENV_TOLERANCE_H_
#define POMPC_ACTOR_ENV_TOLERANCE_H_

#include <limits>

namespace pompc::env {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

// How a reward falls off outside its bounds.
enum class Sigmoid {
  kGaussian,
  kHyperbolic,
  kLongTail,
  kReciprocal,
  kCosine,
  kLinear,
  kQuadratic,
  kTanhSquared,
};

// A reward in [0, 1] for a number being where it should be: 1 within [low, high]; outside, it falls
// along `sigmoid` to `value_at_margin` at the distance `margin` (0 at once if margin is 0).
struct Tolerance {
  double low = 0;
  double high = 0;
  double margin = 0;
  Sigmoid sigmoid = Sigmoid::kGaussian;
  // In (0, 1); may be 0 for kCosine, kLinear and kQuadratic, which reach zero.
  double value_at_margin = 0.1;

  // REQUIRES: low <= high and margin >= 0.
  double operator()(double x) const;
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_TOLERANCE_H_
