#include "run/rows/rates.h"

#include "common/base/check.h"

namespace pompc::run {

void Rates::Observe(absl::Duration now, uint64_t rows, uint64_t updates) {
  POMPC_CHECK(samples_.empty() || now >= samples_.back().at, "time went back");
  // Between samples only the newest numbers are kept, so that the memory does not grow with how
  // often this is called.
  latest_ = {now, rows, updates};
  if (samples_.empty() || now - samples_.back().at >= window_ / 60) samples_.push_back(latest_);
  // The oldest sample kept is the newest one that is at least a window old.
  while (samples_.size() > 1 && now - samples_[1].at >= window_) samples_.pop_front();
}

double Rates::rows_per_second() const { return PerSecond(&Sample::rows); }
double Rates::updates_per_second() const { return PerSecond(&Sample::updates); }

double Rates::PerSecond(uint64_t Sample::*counter) const {
  if (samples_.empty() || latest_.at <= samples_.front().at) return 0;
  // Over what is kept, which is less than the window at first and up to a sixtieth more later.
  const double seconds = absl::ToDoubleSeconds(latest_.at - samples_.front().at);
  return (static_cast<double>(latest_.*counter) - static_cast<double>(samples_.front().*counter)) /
         seconds;
}

}  // namespace pompc::run
