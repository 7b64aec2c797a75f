#ifndef POMPC_ACTOR_EVALUATOR_WORKER_H_
#define POMPC_ACTOR_EVALUATOR_WORKER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "actor/core/evaluator.h"
#include "actor/core/stats.h"
#include "actor/planner_plan_source.h"
#include "actor/worker.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/rpc/endpoint.h"

namespace pompc::actor {

struct EvaluatorWorkerOptions {
  std::vector<rpc::Endpoint> planners;
  EvaluatorOptions evaluator;
  // Before an evaluation that failed is tried again, if it is still assigned.
  absl::Duration retry_after = absl::Seconds(10);
};

// Plays the evaluations that the learner assigns, one after the other, and hands their results to
// `report`. An evaluation whose assignment is withdrawn, or that fails, reports nothing; Waiting()
// says why it failed until it is tried again. Does not own stats and clock.
class EvaluatorWorker : public Worker {
 public:
  // Hands in a result; blocks until the learner has answered. Ends early when the process stops.
  using Report = std::function<absl::Status(const proto::EvaluationAssignment& assignment,
                                            const EvaluationOutcome& outcome)>;

  EvaluatorWorker(const EvaluatorWorkerOptions& options, EnvironmentFactory factory, Report report,
                  ActorStats* stats, Clock* clock);

  absl::Status Run() override;
  void OnNews(const run::RunClient::News& news) override;
  void Stop() override;
  std::string Waiting() override;

 private:
  // One evaluation under way.
  struct Job {
    Job(const planner::PlannerClientOptions& planner, const EvaluatorOptions& options,
        const EvaluationTask& task, const EnvironmentFactory& factory, ActorStats* stats,
        Clock* clock)
        : plans(planner), evaluator(options, task, factory, &plans, stats, clock) {}

    PlannerPlanSource plans;
    Evaluator evaluator;
  };

  // Waits for an assignment; nothing when there is nothing more to do.
  std::optional<proto::EvaluationAssignment> AwaitAssignment();
  void Evaluate(const proto::EvaluationAssignment& assignment);
  std::shared_ptr<Job> StartJob(const proto::EvaluationAssignment& assignment);
  // Ends the evaluation under way if it is wanted no longer.
  void Follow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool done() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopped_ || news_.over(); }
  // Whether the learner still wants exactly this.
  bool Wanted(const proto::EvaluationAssignment& assignment) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const EvaluatorWorkerOptions options_;
  const EnvironmentFactory factory_;
  const Report report_;
  ActorStats* const stats_;
  Clock* const clock_;

  Mutex mu_;
  CondVar changed_;
  run::RunClient::News news_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<Job> job_ ABSL_GUARDED_BY(mu_);
  // The evaluation under way, or the last one.
  proto::EvaluationAssignment assignment_ ABSL_GUARDED_BY(mu_);
  // Why that one failed; empty: it did not, or is under way again.
  std::string failure_ ABSL_GUARDED_BY(mu_);
  // The last evaluation is not to be played again before this time: it is done, or has failed.
  absl::Duration not_before_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_EVALUATOR_WORKER_H_
