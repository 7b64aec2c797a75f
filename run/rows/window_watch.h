#ifndef POMPC_RUN_ROWS_WINDOW_WATCH_H_
#define POMPC_RUN_ROWS_WINDOW_WATCH_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace pompc::run {

// What replay holds, over the shards that are reachable.
struct ReplayContent {
  uint64_t stored_rows = 0;
  // Rows it has ever taken.
  uint64_t accepted_rows = 0;
  uint64_t windows = 0;
  // The number of times that its windows can still be drawn for batches, if that is limited.
  uint64_t draws_left = 0;
  // Rows it can hold.
  uint64_t capacity_rows = 0;
  // Rows it must hold before updates are made (Ratio::MinRows).
  uint64_t min_rows = 0;
  // Environments that write to it.
  uint64_t environments = 0;
  // True if no more rows may come to it, however long one waits (stop.max_rows).
  bool complete = false;

  // True if it holds too little to sample from, as after it was lost.
  bool NeedsRefill() const { return stored_rows < min_rows; }
  // Rows that it lacks to hold `rows`.
  uint64_t MissingOf(uint64_t rows) const { return rows - std::min(rows, stored_rows); }
  // "12 of 100 rows": how far it is filled.
  std::string Progress() const { return absl::StrCat(stored_rows, " of ", min_rows, " rows"); }
};

// Finds the run that can never begin: replay has the rows it needs, but no window of H consecutive
// rows of one episode, because episodes are cut off before they have so many. (An episode that
// terminates early is a window all the same.) Not thread-safe.
class WindowWatch {
 public:
  struct Options {
    // Rows of a window: planner.horizon.
    uint32_t horizon = 1;
    // The time for which replay may hold enough rows without a window before the learner gives up.
    absl::Duration patience = absl::Seconds(5);
  };

  explicit WindowWatch(const Options& options) : options_(options) {}

  // Rows that replay must have taken until a window is overdue: beyond min_rows, each environment
  // has had the H + 1 rows that make one.
  uint64_t EnoughRows(const ReplayContent& replay) const;
  // The number of rows of EnoughRows() that the shards have not taken yet.
  uint64_t MissingRows(const ReplayContent& replay) const;

  // Tells how replay stands now; `settled`: every shard is reachable and the seed phase has its
  // rows.
  void Observe(const ReplayContent& replay, bool settled, absl::Duration now);

  // FAILED_PRECONDITION, naming what to change, once a window has been overdue for
  // options.patience. Stays so.
  const absl::Status& status() const { return status_; }

  // What the learner waits for while replay holds no window, in words.
  std::string WaitReason(const ReplayContent& replay) const;

 private:
  std::string WhatIsStored(const ReplayContent& replay) const;
  // What to change, in words.
  std::string Advice(const ReplayContent& replay) const;
  uint64_t OneWindowEach(const ReplayContent& replay) const;

  const Options options_;
  // When a window became overdue; absent while none is.
  std::optional<absl::Duration> overdue_since_;
  absl::Status status_;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_ROWS_WINDOW_WATCH_H_
