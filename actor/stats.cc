#include "actor/stats.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pompc::actor {

ActorStats::ActorStats(Clock* clock, int workers) : waiting_(workers) {
  for (int i = 0; i < workers; ++i) {
    timers_.push_back(std::make_unique<WorkerTimer>(clock, WorkerState::kWaitingForLearner));
  }
}

void ActorStats::AddRow(bool random) {
  MutexLock lock(&mu_);
  ++counts_.rows;
  if (random) ++counts_.random_rows;
}

void ActorStats::AddEpisode(EpisodeEnd end, double episode_return) {
  MutexLock lock(&mu_);
  ++counts_.episodes[static_cast<int>(end)];
  if (end == EpisodeEnd::kTerminated || end == EpisodeEnd::kTruncated) {
    counts_.last_return = episode_return;
  }
}

void ActorStats::AddRefusal() {
  MutexLock lock(&mu_);
  ++counts_.refused;
}

void ActorStats::AddPlan(absl::Duration latency) {
  const double seconds = absl::ToDoubleSeconds(latency);
  const auto bucket =
      std::lower_bound(kPlanLatencyBounds.begin(), kPlanLatencyBounds.end(), seconds);
  MutexLock lock(&mu_);
  ++counts_.plans;
  counts_.plan_seconds += seconds;
  ++counts_.plan_latency[bucket - kPlanLatencyBounds.begin()];
}

void ActorStats::AddPlanFailure() {
  MutexLock lock(&mu_);
  ++counts_.plan_failures;
}

void ActorStats::AddEvaluation() {
  MutexLock lock(&mu_);
  ++counts_.evaluations;
}

void ActorStats::SetWaiting(int worker, std::string why) {
  MutexLock lock(&mu_);
  waiting_[worker] = std::move(why);
}

std::string ActorStats::Waiting() const {
  MutexLock lock(&mu_);
  std::string all;
  for (const std::string& why : waiting_) {
    if (why.empty()) continue;
    absl::StrAppend(&all, all.empty() ? "" : "; ", why);
  }
  return all;
}

ActorStats::Counts ActorStats::counts() const {
  MutexLock lock(&mu_);
  return counts_;
}

}  // namespace pompc::actor
