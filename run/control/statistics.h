#ifndef POMPC_RUN_CONTROL_STATISTICS_H_
#define POMPC_RUN_CONTROL_STATISTICS_H_

#include "absl/types/span.h"

namespace pompc::run {

// What a sample of returns says about their mean.
struct SampleStatistics {
  double mean = 0;
  // Half the width of the 95 % confidence interval of the mean, by Student's t with n - 1 degrees
  // of freedom; NaN for n = 1, where nothing is known about the spread.
  double ci95 = 0;
  double min = 0;
  double max = 0;
};

// REQUIRES: values is not empty and finite.
SampleStatistics Summarize(absl::Span<const double> values);

// The 97.5 % quantile of Student's t with `degrees` degrees of freedom, within 0.001.
// REQUIRES: degrees >= 1.
double StudentT975(int degrees);

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_STATISTICS_H_
