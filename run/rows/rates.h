#ifndef POMPC_RUN_ROWS_RATES_H_
#define POMPC_RUN_ROWS_RATES_H_

#include <cstdint>
#include <deque>

#include "absl/time/time.h"

namespace pompc::run {

// Speed of two counters over a sliding window. Not thread-safe.
class Rates {
 public:
  // Looks back `window`; keeps at most one sample per window/60.
  explicit Rates(absl::Duration window = absl::Seconds(30)) : window_(window) {}

  // Tells the counters' values at `now`; call it often. Time does not go back.
  void Observe(absl::Duration now, uint64_t rows, uint64_t updates);

  // Per second over the window (over less at first); 0 before two samples.
  double rows_per_second() const;
  double updates_per_second() const;

 private:
  struct Sample {
    absl::Duration at;
    uint64_t rows = 0;
    uint64_t updates = 0;
  };

  double PerSecond(uint64_t Sample::*counter) const;

  const absl::Duration window_;
  std::deque<Sample> samples_;
  Sample latest_;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_ROWS_RATES_H_
