#ifndef POMPC_RUN_CONTROL_RUN_NEWS_H_
#define POMPC_RUN_CONTROL_RUN_NEWS_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "run/control/run_status.h"
#include "run/control/types.h"

namespace pompc::run {

// A result that came in, or an outstanding evaluation that was given up.
struct EvaluationNews {
  EvaluationAssignment assignment;
  // Absent: given up.
  std::optional<EvaluationResult> result;
  // The best of the run so far.
  bool best = false;
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
