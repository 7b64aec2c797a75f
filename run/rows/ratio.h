#ifndef POMPC_RUN_ROWS_RATIO_H_
#define POMPC_RUN_ROWS_RATIO_H_

#include <cstdint>

#include "absl/status/status.h"
#include "common/base/check.h"

namespace pompc::run {

// Sizes in rows and updates of the whole run, as the config has them.
struct RatioOptions {
  uint64_t seed_rows = 0;
  uint64_t pretrain_updates = 0;
  // Updates per row after the seed phase.
  double utd = 0;
  // Rows that may run ahead of the updates.
  uint64_t slack_rows = 0;
  // Rows replay must hold before updates are made.
  uint64_t min_rows = 0;
  // No rows come, and updates wait for none: replay has all that is to be learned from. Then
  // seed_rows and pretrain_updates must be 0; otherwise seed_rows must not.
  bool offline = false;

  // INVALID_ARGUMENT naming the field and the allowed range.
  absl::Status Validate() const;
};

// The rule by which updates and rows hold each other back: updates <= pretrain_updates + utd *
// (rows - seed_rows), and rows ahead of that by slack_rows at most. Updates over rows are a
// straight line; when utd is changed, a line of another slope continues from the point that was
// reached, so that a new utd counts for the rows that come after the change. Offline there is no
// such rule: any number of updates, and no row. Does not wait. Not thread-safe.
class Ratio {
 public:
  // A point of the line: `rows` rows allow `updates` updates.
  struct Point {
    uint64_t rows = 0;
    uint64_t updates = 0;

    bool operator==(const Point&) const = default;
  };

  // The line begins at the end of the seed phase. REQUIRES: options.Validate() is ok.
  explicit Ratio(const RatioOptions& options)
      : options_(options), since_{options.seed_rows, options.pretrain_updates} {
    POMPC_CHECK_OK(options.Validate());
  }

  // Continues the line that led through `since` with slope `utd`, of an earlier start of the run
  // that had accepted `rows` rows. If the present utd is another one, it counts from there on.
  // REQUIRES: `utd` is finite and above 0.
  void Continue(Point since, double utd, uint64_t rows);
  // Changes the settings that may change while the run goes on: utd, which counts from `rows` on,
  // slack_rows and min_rows. REQUIRES: options.Validate() is ok; the other settings are the same.
  void Change(const RatioOptions& options, uint64_t rows);

  // Updates that may have been made in total once `rows` rows were accepted; 0 before seed_rows.
  uint64_t UpdatesAllowed(uint64_t rows) const;

  // Rows that replay must hold before updates are made if it can hold `capacity_rows`: min_rows,
  // but no more than half of what it can hold, for final observations take room too and shards
  // evict before they are full to the row; at least 1.
  uint64_t MinRows(uint64_t capacity_rows) const;

  // Rows that may be accepted in total after `updates`. `seed`: no version exists yet, and rows
  // wait at seed_rows + slack. Otherwise they wait slack_rows ahead of the updates, but never
  // before one more update would be allowed.
  uint64_t RowsBound(bool seed, uint64_t updates) const;

  const RatioOptions& options() const { return options_; }
  // The point through which the present line leads.
  Point since() const { return since_; }

 private:
  RatioOptions options_;
  Point since_;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_ROWS_RATIO_H_
