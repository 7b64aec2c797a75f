#include "run/control/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/check.h"

namespace pompc::run {
namespace {

// Exact for few degrees of freedom, where the expansion below is poor.
constexpr double kQuantiles[] = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706,
                                 2.4469,  2.3646, 2.3060, 2.2622, 2.2281};

}  // namespace

double StudentT975(int degrees) {
  POMPC_CHECK_GE(degrees, 1);
  if (degrees <= static_cast<int>(std::size(kQuantiles))) return kQuantiles[degrees - 1];
  // Cornish-Fisher expansion around the normal quantile (Abramowitz and Stegun, 26.7.5).
  const double z = 1.959963984540054;
  const double n = degrees;
  const double z2 = z * z;
  const double g1 = z * (z2 + 1) / 4;
  const double g2 = z * ((5 * z2 + 16) * z2 + 3) / 96;
  const double g3 = z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384;
  return z + g1 / n + g2 / (n * n) + g3 / (n * n * n);
}

SampleStatistics Summarize(absl::Span<const double> values) {
  POMPC_CHECK(!values.empty());
  POMPC_CHECK(std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); }));
  const double n = static_cast<double>(values.size());
  SampleStatistics result;
  for (double value : values) result.mean += value / n;
  result.min = *std::min_element(values.begin(), values.end());
  result.max = *std::max_element(values.begin(), values.end());
  if (values.size() < 2) {
    result.ci95 = std::numeric_limits<double>::quiet_NaN();
    return result;
  }
  // Two passes: the sum of squares of large returns less the squared mean would cancel.
  double squares = 0;
  for (double value : values) squares += (value - result.mean) * (value - result.mean);
  const int degrees = static_cast<int>(values.size()) - 1;
  result.ci95 = StudentT975(degrees) * std::sqrt(squares / (n - 1) / n);
  return result;
}

}  // namespace pompc::run
