#ifndef POMPC_ACTOR_CORE_EVALUATOR_H_
#define POMPC_ACTOR_CORE_EVALUATOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actor/core/environment_slot.h"
#include "actor/core/mailbox.h"
#include "actor/core/plan_source.h"
#include "actor/core/stats.h"
#include "common/base/backoff.h"
#include "common/base/threads.h"
#include "common/values/parameter_version.h"

namespace pompc::actor {

// What to evaluate.
struct EvaluationTask {
  // The version that makes every plan; if it is not valid(), each decision uses the newest.
  ParameterVersion version;
  int episodes = 1;
  // Seed of the environments and plans of all episodes.
  uint64_t seed = 0;
};

struct EvaluationOutcome {
  // Return and number of decisions of episode i, at position i.
  std::vector<double> returns;
  std::vector<uint32_t> decisions;
};

struct EvaluatorOptions {
  // The number of episodes that are played at a time.
  int parallel = 8;
  BackoffOptions retry = {.initial = absl::Milliseconds(50), .max = absl::Seconds(2)};
  // The evaluation fails when no plan has arrived for this long ...
  absl::Duration patience = absl::Minutes(5);
  // ... or when planners have refused all requests for this long, for a reason that no retry mends.
  absl::Duration give_up_after = absl::Seconds(10);
  // Range of the standard deviations of the plans.
  StdRange plan_std;
  // If set, it is called with the environment of the first episode, at the start of each attempt
  // and after every decision that did not make the simulation fail. It is called in Run, and its
  // error ends the evaluation.
  std::function<absl::Status(env::FloatEnvironment&)> spectator = nullptr;
};

// Plays the episodes of one evaluation without exploration noise, several at a time on one thread.
// Episode i depends only on the task's seed and on i, not on how many are played at a time. Plans
// that fail are requested again: planning keeps no state and the version is pinned, so an
// evaluation resumes where it was when its planner died and another one (or the same, restarted)
// has the version. An episode whose simulation fails says nothing about the parameters (where
// rewards are costs, a part of an episode looks better than a whole one). It is played again from
// the environment's next start, and the evaluation fails if that does not help.
//
// Run belongs to one thread; Cancel may be called from any. Does not own what it is given.
class Evaluator {
 public:
  Evaluator(const EvaluatorOptions& options, const EvaluationTask& task, EnvironmentFactory factory,
            PlanSource* plans, ActorStats* stats, Clock* clock);

  // Plays all episodes. Fails with CANCELLED after Cancel, with DEADLINE_EXCEEDED and the last
  // failure when no plan arrived for too long, with ABORTED and the last fault when the simulation
  // failed in every attempt at an episode, and otherwise with the error of the planner or the
  // environment. When it returns, no plan is in flight any more. REQUIRES: it is called once.
  absl::StatusOr<EvaluationOutcome> Run();

  // Ends Run early. Idempotent; it may be called before Run.
  void Cancel();

 private:
  // One of the episodes played at the same time.
  struct Lane {
    Lane(const BackoffOptions& retry, uint64_t seed) : backoff(retry, seed) {}

    std::unique_ptr<EnvironmentSlot> slot;
    Backoff backoff;
    int episode = 0;
    // Attempts at the episode in which the simulation failed.
    int failed_tries = 0;
    absl::Duration asked_at;
    // Set while a plan has failed: when it is requested again.
    std::optional<absl::Duration> retry_at;
  };

  // Starts the next episode in the lane. The lane stays empty when none is left.
  absl::Status StartNext(int lane);
  void Ask(int lane);
  absl::Status HandlePlan(int lane, const Letter& letter);
  absl::Status HandleFailure(int lane, const absl::Status& status);
  absl::Status Play(int lane);
  absl::Status PlayAgain(int lane);
  absl::Status Show(const Lane& lane);
  absl::Status Round();
  void FinishUp();

  const EvaluatorOptions options_;
  const EvaluationTask task_;
  const EnvironmentFactory factory_;
  ActorStats* const stats_;
  Clock* const clock_;

  Mailbox mailbox_;
  std::atomic<bool> cancelled_{false};

  // Used by the thread in Run alone.
  PlanAsker asker_;
  std::vector<Lane> lanes_;
  std::vector<Letter> letters_;
  EvaluationOutcome outcome_;
  int next_episode_ = 0;
  int finished_ = 0;
  absl::Duration last_plan_;
  // When planners began to refuse requests for a lasting reason; nothing if they do not.
  std::optional<absl::Duration> failing_since_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_CORE_EVALUATOR_H_
