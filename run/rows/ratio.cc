#include "run/rows/ratio.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace pompc::run {

absl::Status RatioOptions::Validate() const {
  if (!(utd > 0) || !std::isfinite(utd)) {
    return absl::InvalidArgumentError(absl::StrCat("utd: ", utd, " must be above 0"));
  }
  if (slack_rows < 1) return absl::InvalidArgumentError("slack_rows: 0 must be at least 1");
  if (seed_rows < 1) return absl::InvalidArgumentError("seed_rows: 0 must be at least 1");
  if (min_rows < 1) return absl::InvalidArgumentError("min_rows: 0 must be at least 1");
  return absl::OkStatus();
}

uint64_t Ratio::UpdatesAllowed(uint64_t rows) const {
  // Pretraining is allowed all at once when the seed rows are stored; from then on each row brings
  // utd updates.
  if (rows < options_.seed_rows) return 0;
  const double after_seed = static_cast<double>(rows - options_.seed_rows);
  return options_.pretrain_updates + static_cast<uint64_t>(std::floor(options_.utd * after_seed));
}

uint64_t Ratio::RowsBound(bool seed, uint64_t updates) const {
  if (seed) return options_.seed_rows + options_.slack_rows;
  // The inverse of UpdatesAllowed: the rows that these updates have used up, and slack on top.
  const double after_pretraining =
      static_cast<double>(updates - std::min(updates, options_.pretrain_updates));
  // With less slack than one update takes, both sides would wait for each other.
  const uint64_t slack =
      std::max(options_.slack_rows, static_cast<uint64_t>(std::ceil(1 / options_.utd)) + 1);
  return options_.seed_rows + static_cast<uint64_t>(after_pretraining / options_.utd) + slack;
}

uint64_t Ratio::MinRows(uint64_t capacity_rows) const {
  return std::max<uint64_t>(1, std::min(options_.min_rows, capacity_rows / 2));
}

}  // namespace pompc::run
