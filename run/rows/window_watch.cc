#include "run/rows/window_watch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace pompc::run {

uint64_t WindowWatch::EnoughRows(const ReplayContent& replay) const {
  return replay.min_rows + OneWindowEach(replay);
}

uint64_t WindowWatch::MissingRows(const ReplayContent& replay) const {
  const uint64_t enough = EnoughRows(replay);
  return enough - std::min(enough, replay.accepted_rows);
}

uint64_t WindowWatch::OneWindowEach(const ReplayContent& replay) const {
  return replay.environments * (uint64_t{options_.horizon} + 1);
}

void WindowWatch::Observe(const ReplayContent& replay, bool settled, absl::Duration now) {
  const bool overdue = settled && replay.windows == 0 && !replay.NeedsRefill() &&
                       (replay.complete || MissingRows(replay) == 0);
  if (!overdue) {
    overdue_since_.reset();
    return;
  }
  if (!overdue_since_.has_value()) overdue_since_ = now;
  if (!status_.ok() || now - *overdue_since_ < options_.patience) return;
  status_ = absl::FailedPreconditionError(
      absl::StrCat("nothing can be learned: ", WhatIsStored(replay), ", for ",
                   absl::FormatDuration(options_.patience), "; ", Advice(replay)));
}

std::string WindowWatch::Advice(const ReplayContent& replay) const {
  const std::string episodes =
      "lower planner.horizon (or env.action_repeat) to the length of the episodes, or have them go "
      "on longer";
  if (replay.capacity_rows >= OneWindowEach(replay)) return episodes;
  return absl::StrCat("raise replay.capacity_rows or replay.capacity_bytes: the shards hold ",
                      replay.capacity_rows, " rows, and one window of each environment takes ",
                      OneWindowEach(replay), "; or ", episodes);
}

std::string WindowWatch::WaitReason(const ReplayContent& replay) const {
  return absl::StrCat("the learner waits for windows: ", WhatIsStored(replay),
                      "; the learner ends with an error if there is none after ",
                      EnoughRows(replay), " rows and ", absl::FormatDuration(options_.patience));
}

std::string WindowWatch::WhatIsStored(const ReplayContent& replay) const {
  return absl::StrCat("0 windows in ", replay.stored_rows, " stored rows of ", replay.environments,
                      " environments; a window takes planner.horizon ", options_.horizon,
                      " rows of one episode, unless that terminated before");
}

}  // namespace pompc::run
