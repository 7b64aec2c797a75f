#include "actor/core/stats.h"

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::actor {
namespace {

// Plans take from a millisecond (a tiny model in batches) to seconds (a large one on a CPU).
const std::vector<double>& LatencyBuckets() {
  static const auto* buckets =
      new std::vector<double>{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0};
  return *buckets;
}

}  // namespace

ActorStats::ActorStats(const std::string& role, int workers, Clock* clock,
                       std::shared_ptr<MetricsRegistry> metrics)
    : metrics_(std::move(metrics)), plan_latency_(LatencyBuckets()), waiting_(workers) {
  POMPC_CHECK_GE(workers, 1);
  for (int i = 0; i < workers; ++i) {
    timers_.push_back(std::make_unique<WorkerTimer>(clock, WorkerState::kWaitingForLearner));
  }
  RegisterMetrics(role);
}

// Metrics that differ only in labels share name and help; the text format wants them together.
void ActorStats::RegisterMetrics(const std::string& role) {
  const MetricLabels labels = {{"role", role}};
  const auto with = [labels](const char* label, std::string value) {
    MetricLabels more = labels;
    more[label] = std::move(value);
    return more;
  };
  // Every counter is read from counts_ when metrics are scraped, so that the hot path only adds.
  source_ = metrics_->AddSource([this, labels, with](MetricSamples& out) {
    out.SetRun(run_id());
    const Counts c = counts();
    out.Histogram("pompc_actor_plan_latency_seconds", "Time from requesting a plan to its arrival.",
                  plan_latency_, labels);
    out.Counter("pompc_actor_rows_total", "Rows handed to replay.", c.random_rows,
                with("phase", "random"));
    out.Counter("pompc_actor_rows_total", "Rows handed to replay.", c.rows - c.random_rows,
                with("phase", "planned"));
    // One metric for all ends, so that their sum is the number of episodes.
    for (int i = 0; i < kEpisodeEnds; ++i) {
      out.Counter("pompc_actor_episodes_total", "Episodes by how they ended.", c.episodes[i],
                  with("end", std::string(kEpisodeEndNames[i])));
    }
    out.Counter("pompc_actor_refused_episodes_total", "Episodes that replay refused.", c.refused,
                labels);
    out.Counter("pompc_actor_refused_rows_total",
                "Rows that were lost because replay refused their episode.", c.refused_rows,
                labels);
    out.Counter("pompc_actor_resumed_segments_total",
                "Episodes continued as a new segment because a shard lost its rows.",
                c.resumed_segments, labels);
    out.Counter("pompc_actor_plan_failures_total", "Plans that failed and were requested again.",
                c.plan_failures, labels);
    out.Counter("pompc_actor_hedged_plans_total",
                "Plans requested from a second planner because the first had not answered in time.",
                c.hedged_plans, labels);
    out.Counter("pompc_actor_evaluations_total", "Evaluations played to their end.", c.evaluations,
                labels);
    out.Gauge("pompc_actor_episode_return",
              "Return of the newest episode that terminated or was truncated.", c.last_return,
              labels);
    // The first question about the speed of an actor is where its time goes (docs/metrics.md).
    for (int i = 0; i < workers(); ++i) {
      out.StateSeconds(
          "pompc_actor_state_seconds_total",
          "Time that each worker thread has spent in each state; a worker's states sum to its wall "
          "time.",
          *timers_[i], kWorkerStateNames, with("worker", absl::StrCat(i)));
    }
  });
}

void ActorStats::SetRun(std::string run_id) {
  MutexLock lock(&mu_);
  run_id_ = std::move(run_id);
}

std::string ActorStats::run_id() const {
  MutexLock lock(&mu_);
  return run_id_;
}

void ActorStats::AddRow(bool random) {
  MutexLock lock(&mu_);
  ++counts_.rows;
  if (random) ++counts_.random_rows;
}

// Returns of episodes that were cut in the middle would only mislead, so they are not shown.
void ActorStats::AddEpisode(EpisodeEnd end, double episode_return) {
  MutexLock lock(&mu_);
  ++counts_.episodes[static_cast<int>(end)];
  if (end == EpisodeEnd::kTerminated || end == EpisodeEnd::kTruncated) {
    counts_.last_return = episode_return;
  }
}

void ActorStats::AddRefusal(uint64_t rows) {
  MutexLock lock(&mu_);
  ++counts_.refused;
  counts_.refused_rows += rows;
}

void ActorStats::AddResumedSegment() {
  MutexLock lock(&mu_);
  ++counts_.resumed_segments;
}

void ActorStats::AddPlan(absl::Duration latency) {
  plan_latency_.Observe(absl::ToDoubleSeconds(latency));
}

void ActorStats::AddPlanFailure() {
  MutexLock lock(&mu_);
  ++counts_.plan_failures;
}

void ActorStats::AddHedgedPlans(uint64_t plans) {
  MutexLock lock(&mu_);
  counts_.hedged_plans += plans;
}

void ActorStats::AddEvaluation() {
  MutexLock lock(&mu_);
  ++counts_.evaluations;
}

void ActorStats::SetWaiting(int worker, std::string why) {
  POMPC_CHECK(worker >= 0 && worker < workers());
  MutexLock lock(&mu_);
  waiting_[worker] = std::move(why);
}

// Workers rarely wait for different things, but when they do, each reason matters.
std::string ActorStats::Waiting() const {
  MutexLock lock(&mu_);
  std::string all;
  for (const std::string& why : waiting_) {
    if (why.empty()) continue;
    absl::StrAppend(&all, all.empty() ? "" : "; ", why);
  }
  return all;
}

// A copy under the lock, so that the numbers belong together.
ActorStats::Counts ActorStats::counts() const {
  MutexLock lock(&mu_);
  return counts_;
}

}  // namespace pompc::actor
