#ifndef POMPC_RUN_CONTROL_RUN_NEWS_H_
#define POMPC_RUN_CONTROL_RUN_NEWS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "proto/run.pb.h"

namespace pompc::run {

// A result that came in, or an outstanding evaluation that was given up.
struct EvaluationNews {
  // Id, version and updates at least.
  proto::EvaluationAssignment assignment;
  // Absent: given up.
  std::optional<proto::EvaluationResult> result;
  // The best of the run so far.
  bool best = false;
};

// A finished training episode that an actor told of. Actors tell of their newest at each heartbeat,
// so of several within one heartbeat only the last is seen.
struct EpisodeNews {
  uint32_t actor_index = 0;
  // Episodes of the run so far.
  uint64_t episodes = 0;
  uint64_t rows = 0;
  double elapsed_seconds = 0;
  double episode_return = 0;
};

// What has happened in a run and is not written down yet, and the returns of its newest training
// episodes. Not thread-safe. Bounded: the oldest news of each kind are dropped beyond kMaxNews.
class RunNews {
 public:
  static constexpr size_t kMaxNews = 1024;
  // Training episodes whose returns are averaged.
  static constexpr size_t kNewestReturns = 20;

  void Add(EvaluationNews news);
  void Add(const EpisodeNews& news);

  // What came since the last call.
  std::vector<EvaluationNews> TakeEvaluations();
  std::vector<EpisodeNews> TakeEpisodes();

  // Mean return of the newest training episodes; absent before the first.
  std::optional<double> training_return_mean() const;

 private:
  std::deque<EvaluationNews> evaluations_;
  std::deque<EpisodeNews> episodes_;
  std::deque<double> newest_returns_;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_RUN_NEWS_H_
