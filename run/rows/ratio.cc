#include "run/rows/ratio.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace pompc::run {

absl::Status RatioOptions::Validate() const {
  if (!(utd > 0) || !std::isfinite(utd)) {
    return absl::InvalidArgumentError(absl::StrCat("utd: ", utd, " must be above 0"));
  }
  if (slack_rows < 1) return absl::InvalidArgumentError("slack_rows: 0 must be at least 1");
  if (offline && (seed_rows > 0 || pretrain_updates > 0)) {
    return absl::InvalidArgumentError("seed_rows, pretrain_updates: must be 0 offline");
  }
  if (seed_rows < 1 && !offline) {
    return absl::InvalidArgumentError("seed_rows: 0 must be at least 1");
  }
  if (min_rows < 1) return absl::InvalidArgumentError("min_rows: 0 must be at least 1");
  return absl::OkStatus();
}

void Ratio::Continue(Point since, double utd, uint64_t rows) {
  const RatioOptions present = options_;
  options_.utd = utd;
  POMPC_CHECK_OK(options_.Validate());
  since_ = since;
  Change(present, rows);
}

void Ratio::Change(const RatioOptions& options, uint64_t rows) {
  POMPC_CHECK_OK(options.Validate());
  POMPC_CHECK(options.seed_rows == options_.seed_rows &&
                  options.pretrain_updates == options_.pretrain_updates,
              "the seed phase is the same for the whole run");
  // Applied to the rows of the past as well, a smaller utd would stop the updates until the rows
  // have caught up, perhaps for the rest of the run, and a larger one would stop the rows.
  if (options.utd != options_.utd && rows > options_.seed_rows) {
    since_ = {rows, UpdatesAllowed(rows)};
  }
  options_ = options;
}

uint64_t Ratio::UpdatesAllowed(uint64_t rows) const {
  if (options_.offline) return std::numeric_limits<uint64_t>::max();
  // Pretraining is allowed all at once when the seed rows are stored; from then on each row brings
  // utd updates.
  if (rows < options_.seed_rows) return 0;
  // A resumed run may have lost rows that came before the line's point.
  const double more = static_cast<double>(rows) - static_cast<double>(since_.rows);
  const double updates = static_cast<double>(since_.updates) + std::floor(options_.utd * more);
  return static_cast<uint64_t>(std::max(updates, 0.0));
}

uint64_t Ratio::RowsBound(bool seed, uint64_t updates) const {
  if (options_.offline) return 0;
  if (seed) return options_.seed_rows + options_.slack_rows;
  // The inverse of UpdatesAllowed: the rows that these updates have used up, and slack on top.
  const double more = static_cast<double>(updates) - static_cast<double>(since_.updates);
  const double used = static_cast<double>(since_.rows) + std::trunc(more / options_.utd);
  // With less slack than one update takes, both sides would wait for each other.
  const uint64_t slack =
      std::max(options_.slack_rows, static_cast<uint64_t>(std::ceil(1 / options_.utd)) + 1);
  return static_cast<uint64_t>(std::max(used, static_cast<double>(options_.seed_rows))) + slack;
}

uint64_t Ratio::MinRows(uint64_t capacity_rows) const {
  return std::max<uint64_t>(1, std::min(options_.min_rows, capacity_rows / 2));
}

}  // namespace pompc::run
