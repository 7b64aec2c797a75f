#include "run/rows/window_watch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace pompc::run {

uint64_t WindowWatch::EnoughRows(const ReplayContent& replay) const {
  const uint64_t most = std::max<uint64_t>(1, replay.capacity_rows / 2);
  const uint64_t one_window_each = replay.environments * (uint64_t{options_.horizon} + 1);
  return std::min(most, replay.min_rows + one_window_each);
}

void WindowWatch::Observe(const ReplayContent& replay, bool settled, absl::Duration now) {
  const bool overdue =
      settled && replay.windows == 0 && !replay.NeedsRefill() &&
      (replay.complete || replay.stored_rows >= EnoughRows(replay));
  if (!overdue) {
    overdue_since_.reset();
    return;
  }
  if (!overdue_since_.has_value()) overdue_since_ = now;
  if (!status_.ok() || now - *overdue_since_ < options_.patience) return;
  status_ = absl::FailedPreconditionError(absl::StrCat(
      "nothing can be learned: ", WhatIsStored(replay), ", for ",
      absl::FormatDuration(options_.patience),
      "; lower planner.horizon (or env.action_repeat) to the length of the episodes, or have them "
      "go on longer"));
}

std::string WindowWatch::WaitReason(const ReplayContent& replay) const {
  return absl::StrCat("the learner waits for windows: ", WhatIsStored(replay),
                      "; the run ends with an error if there is none after ", EnoughRows(replay),
                      " rows and ", absl::FormatDuration(options_.patience));
}

std::string WindowWatch::WhatIsStored(const ReplayContent& replay) const {
  return absl::StrCat("0 windows in ", replay.stored_rows, " stored rows of ", replay.environments,
                      " environments; a window takes planner.horizon ", options_.horizon,
                      " rows of one episode, unless that terminated before");
}

}  // namespace pompc::run
