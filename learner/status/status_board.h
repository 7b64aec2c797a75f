#ifndef POMPC_LEARNER_STATUS_STATUS_BOARD_H_
#define POMPC_LEARNER_STATUS_STATUS_BOARD_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/threads.h"
#include "common/metrics/http_server.h"
#include "learner/status/status_view.h"
#include "learner/status/time_series.h"
#include "proto/config.pb.h"
#include "proto/run.pb.h"
#include "run/control/run_news.h"

namespace pompc::learner {

struct StatusBoardOptions {
  std::string run_dir;
  proto::RunConfig config;
  // The folder that published curves are read from.
  std::string published_dir;
  // Counts the starts of the learner of this run.
  uint64_t learner_start = 1;
  // Learner processes of the run.
  int ranks = 1;
  // What the training thread's time is split into, and why writers may be held back.
  std::vector<std::string> activities;
  std::vector<std::string> hold_reasons;
  // Between two looks at the counters.
  absl::Duration interval = absl::Seconds(2);
  Clock* clock = Clock::Real();
};

// What the learner knows of itself beside the run's status.
struct LearnerCounters {
  // Seconds since its start in each activity, and for each reason to hold writers back, in the
  // order of the options.
  std::vector<double> activity_seconds;
  std::vector<double> held_seconds;
  int ranks_present = 1;
};

// The status page of a learner: remembers how a run went, in bounded memory, and shows it as a web
// page and as JSON (docs/status.md). Thread-safe. The page and the JSON are made by the thread that
// asks for them; other calls do not wait meanwhile.
class StatusBoard {
 public:
  // The most points of one series in the JSON.
  static constexpr size_t kMaxPoints = 300;

  // Reads the published curves of the task, and the returns of training episodes of earlier starts.
  explicit StatusBoard(const StatusBoardOptions& options);

  // True once the interval has passed since the last Observe; at first too.
  bool Due() const;
  // Remembers what counters stand at. REQUIRES: as many seconds as the options name.
  void Observe(const proto::RunStatus& status, const LearnerCounters& counters);
  void AddEpisodes(const std::vector<run::EpisodeNews>& episodes);

  // The web page. Its tables are those of `run`; its script draws what Json says.
  std::string Html(const proto::GetRunReply& run) const;
  // The document that docs/status.md describes, of format kStatusFormat.
  std::string Json(const proto::GetRunReply& run) const;
  // The content of the video at `position` in the JSON's list, as it is now; an empty text where
  // there is none.
  HttpPage VideoPage(size_t position) const;

 private:
  StatusView View(const proto::GetRunReply& run) const;
  // Counts the planned rows that shards have accepted since the last look. What a shard held when
  // it was first heard from, or when its memory began anew, is not new.
  void CountPlannedRows(const proto::RunStatus& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const StatusBoardOptions options_;
  const References references_;

  mutable Mutex mu_;
  std::optional<absl::Duration> observed_at_ ABSL_GUARDED_BY(mu_);
  // Times that other processes were seen in, summed up over the looks.
  double actor_seconds_ ABSL_GUARDED_BY(mu_) = 0;
  double waiting_actor_seconds_ ABSL_GUARDED_BY(mu_) = 0;
  int ranks_present_ ABSL_GUARDED_BY(mu_) = 1;
  // The planned rows of each shard that has answered, by index, and their increase so far.
  std::map<uint32_t, uint64_t> planned_rows_ ABSL_GUARDED_BY(mu_);
  uint64_t new_planned_rows_ ABSL_GUARDED_BY(mu_) = 0;
  // The last minutes and the whole of this start.
  CounterHistory recent_ ABSL_GUARDED_BY(mu_);
  CounterHistory whole_ ABSL_GUARDED_BY(mu_);
  EpisodeHistory episodes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_STATUS_STATUS_BOARD_H_
