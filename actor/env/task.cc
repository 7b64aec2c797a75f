#include "actor/env/task.h"

#include <cmath>

#include "common/base/check.h"

namespace pompc::env {
namespace {

// The sigmoids of dm_control.utils.rewards: 1 at distance 0, `v` at distance 1. The published
// returns of a task depend on its sigmoid, so each formula is the original's to the last operation.
// REQUIRES: d >= 0.
double Falloff(Sigmoid sigmoid, double d, double v) {
  POMPC_DCHECK_GE(d, 0);
  switch (sigmoid) {
    case Sigmoid::kGaussian: {
      const double y = d * std::sqrt(-2 * std::log(v));
      return std::exp(-0.5 * y * y);
    }
    case Sigmoid::kHyperbolic:
      return 1 / std::cosh(d * std::acosh(1 / v));
    case Sigmoid::kLongTail: {
      const double y = d * std::sqrt(1 / v - 1);
      return 1 / (y * y + 1);
    }
    case Sigmoid::kReciprocal:
      return 1 / (d * (1 / v - 1) + 1);
    case Sigmoid::kCosine: {
      const double y = d * std::acos(2 * v - 1) / kPi;
      return y < 1 ? (1 + std::cos(kPi * y)) / 2 : 0;
    }
    case Sigmoid::kLinear: {
      const double y = d * (1 - v);
      return y < 1 ? 1 - y : 0;
    }
    case Sigmoid::kQuadratic: {
      const double y = d * std::sqrt(1 - v);
      return y < 1 ? 1 - y * y : 0;
    }
    case Sigmoid::kTanhSquared: {
      const double y = std::tanh(d * std::atanh(std::sqrt(1 - v)));
      return 1 - y * y;
    }
  }
  return 0;
}

}  // namespace

double Tolerance::operator()(double x) const {
  POMPC_DCHECK_LE(low, high);
  POMPC_DCHECK_GE(margin, 0);
  POMPC_DCHECK(value_at_margin >= 0 && value_at_margin < 1);
  if (low <= x && x <= high) return 1;
  if (margin == 0) return 0;
  return Falloff(sigmoid, (x < low ? low - x : x - high) / margin, value_at_margin);
}

double SmallControl(const Physics& physics) {
  static constexpr Tolerance kSmall{
      .margin = 1, .sigmoid = Sigmoid::kQuadratic, .value_at_margin = 0};
  double sum = 0;
  for (const double control : physics.ctrl()) sum += kSmall(control);
  return (4 + sum / static_cast<double>(physics.ctrl().size())) / 5;
}

}  // namespace pompc::env
