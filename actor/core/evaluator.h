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
#include "actor/core/plan_asker.h"
#include "actor/core/plan_source.h"
#include "actor/core/stats.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/values/parameter_version.h"

namespace pompc::actor {

// What to evaluate.
struct EvaluationTask {
  // The parameters that make every plan; not valid(): the newest at each decision.
  ParameterVersion version;
  int episodes = 1;
  // Seeds the environments and plans of all episodes.
  uint64_t seed = 0;
};

struct EvaluationOutcome {
  // Of episode i, at position i.
  std::vector<double> returns;
  std::vector<uint32_t> decisions;
};

struct EvaluatorOptions {
  // Episodes played at a time.
  int parallel = 8;
  BackoffOptions retry = {.initial = absl::Milliseconds(50), .max = absl::Seconds(2)};
  // Without a single plan for so long, the evaluation is given up ...
  absl::Duration patience = absl::Minutes(5);
  // ... and earlier where planners refuse the requests for a reason that no retry can mend.
  absl::Duration give_up_after = absl::Seconds(10);
  // Range of the standard deviations of the plans.
  StdRange plan_std;
  // Is shown the first episode, if set: its environment at the start and after every decision that
  // the simulation survived, of every try. Called in Run; its error ends the evaluation.
  std::function<absl::Status(env::FloatEnvironment&)> spectator = nullptr;
};

// Plays the episodes of one evaluation without exploration noise, several at a time on one thread.
// Episode i depends on the task's seed and i alone, not on how many are played at a time. Plans
// that fail are asked for again: planning is stateless and the version pinned, so an evaluation
// goes on where it stood when its planner dies and another one (or the same, restarted) holds the
// version. An episode whose simulation fails says nothing of the parameters (where rewards are
// costs, the part that was played looks better than a whole one): it is played again, from the
// environment's next start, and the evaluation fails if that does not help.
//
// Run belongs to one thread; Cancel may be called from any. Does not own what it is given.
class Evaluator {
 public:
  Evaluator(const EvaluatorOptions& options, const EvaluationTask& task, EnvironmentFactory factory,
            PlanSource* plans, ActorStats* stats, Clock* clock);

  // Plays all episodes. CANCELLED after Cancel; DEADLINE_EXCEEDED with the last failure when no
  // plan came for too long; ABORTED with the last fault when the simulation failed in every try of
  // an episode; the planner's or the environment's error otherwise. Before it returns, every plan
  // under way has come back. Call once.
  absl::StatusOr<EvaluationOutcome> Run();

  // Idempotent; may come before Run.
  void Cancel();

 private:
  // One of the episodes played at the same time.
  struct Lane {
    Lane(const BackoffOptions& retry, uint64_t seed) : backoff(retry, seed) {}

    std::unique_ptr<EnvironmentSlot> slot;
    Backoff backoff;
    int episode = 0;
    // Tries of the episode in which the simulation failed.
    int failed_tries = 0;
    absl::Duration asked_at;
    // Not nothing: a plan failed and is asked for again then.
    std::optional<absl::Duration> retry_at;
  };

  // Starts the next episode in the lane; the lane stays empty when none is left.
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

  // Of the thread in Run.
  PlanAsker asker_;
  std::vector<Lane> lanes_;
  std::vector<Letter> letters_;
  EvaluationOutcome outcome_;
  int next_episode_ = 0;
  int finished_ = 0;
  absl::Duration last_plan_;
  // Since when plans have been refused for good.
  std::optional<absl::Duration> failing_since_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_CORE_EVALUATOR_H_
