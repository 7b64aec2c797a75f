#ifndef POMPC_ACTOR_CORE_STATS_H_
#define POMPC_ACTOR_CORE_STATS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/state_timer.h"
#include "common/base/threads.h"
#include "common/metrics/metrics.h"

namespace pompc::actor {

// What a worker thread does or waits for. A thread with several environments counts as waiting for
// replay only when none of them waits for a plan.
enum class WorkerState { kStepping, kWaitingForPlan, kWaitingForReplay, kWaitingForLearner };
inline constexpr int kWorkerStates = 4;
inline constexpr std::array<absl::string_view, kWorkerStates> kWorkerStateNames = {
    "stepping", "waiting_for_plan", "waiting_for_replay", "waiting_for_learner"};
using WorkerTimer = StateTimer<WorkerState, kWorkerStates>;

// The ways in which an episode can end.
enum class EpisodeEnd {
  kTerminated,
  kTruncated,
  // The simulation failed or gave numbers that are not finite.
  kUnstable,
  // The episode was abandoned because replay refused its rows or the random phase ended.
  kDropped,
};
inline constexpr int kEpisodeEnds = 4;
inline constexpr std::array<absl::string_view, kEpisodeEnds> kEpisodeEndNames = {
    "terminated", "truncated", "unstable", "dropped"};

// Counts what an actor or evaluator process has done since its start, for heartbeats, metrics and
// the status. Thread-safe.
class ActorStats {
 public:
  struct Counts {
    uint64_t rows = 0;
    // Rows of the random phase among these.
    uint64_t random_rows = 0;
    std::array<uint64_t, kEpisodeEnds> episodes = {};
    // Return of the newest episode that terminated or was truncated; 0 while there is none.
    double last_return = 0;
    // Episodes that replay refused, and the rows that were lost with them.
    uint64_t refused = 0;
    uint64_t refused_rows = 0;
    // Episodes continued as a new segment because a shard lost its rows.
    uint64_t resumed_segments = 0;
    uint64_t plan_failures = 0;
    // Plans requested from a second planner because the first was late.
    uint64_t hedged_plans = 0;
    uint64_t evaluations = 0;

    // Episodes that terminated or were truncated.
    uint64_t finished_episodes() const { return episodes[0] + episodes[1]; }
  };

  // Registers the metrics pompc_actor_*, with `role` ("actor" or "evaluator") as a label, and the
  // run as another once it is known.
  ActorStats(const std::string& role, int workers, Clock* clock,
             std::shared_ptr<MetricsRegistry> metrics);

  // Says which run the process takes part in; none before.
  void SetRun(std::string run_id);

  void AddRow(bool random);
  void AddEpisode(EpisodeEnd end, double episode_return);
  void AddRefusal(uint64_t rows);
  void AddResumedSegment();
  void AddPlan(absl::Duration latency);
  void AddPlanFailure();
  void AddHedgedPlans(uint64_t plans);
  void AddEvaluation();

  WorkerTimer* timer(int worker) { return timers_[worker].get(); }
  int workers() const { return static_cast<int>(timers_.size()); }

  // Sets why a worker waits, in words for people; empty if it does not wait, or not for long.
  void SetWaiting(int worker, std::string why);
  // Returns the reasons of all workers, joined.
  std::string Waiting() const;

  Counts counts() const;

 private:
  void RegisterMetrics(const std::string& role);
  std::string run_id() const;

  const std::shared_ptr<MetricsRegistry> metrics_;
  prometheus::Histogram plan_latency_;
  std::vector<std::unique_ptr<WorkerTimer>> timers_;

  mutable Mutex mu_;
  std::string run_id_ ABSL_GUARDED_BY(mu_);
  Counts counts_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> waiting_ ABSL_GUARDED_BY(mu_);

  // The last member, destroyed first: it reads the members above.
  MetricSource source_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_CORE_STATS_H_
