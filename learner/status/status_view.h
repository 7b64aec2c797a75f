#ifndef POMPC_LEARNER_STATUS_STATUS_VIEW_H_
#define POMPC_LEARNER_STATUS_STATUS_VIEW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/process/recent_log.h"
#include "learner/status/published_curves.h"
#include "learner/status/time_series.h"
#include "learner/status/videos.h"
#include "proto/run.pb.h"

namespace pompc::learner {

// Published curves of the run's task, or why there are none, in words.
struct References {
  std::vector<PublishedCurve> curves;
  std::string note;
};

// The counters of a run over time, by column: what CounterPoint::totals hold.
struct StatusHistory {
  std::vector<CounterPoint> points;
  // Columns of rows, updates and planned rows come first, then those of `activities`, of
  // `hold_reasons`, of actors' seconds and of actors' seconds of waiting.
  std::vector<std::string> activities;
  std::vector<std::string> hold_reasons;
};

// Everything that one answer shows.
struct StatusView {
  proto::GetRunReply run;
  absl::Time time;
  uint64_t learner_start = 1;
  int ranks = 1;
  int ranks_present = 1;
  StatusHistory recent;
  StatusHistory whole;
  std::vector<EpisodeBin> training;
  References references;
  std::vector<LogLine> log;
  std::vector<LogLine> warnings;
  std::vector<Video> videos;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_STATUS_STATUS_VIEW_H_
