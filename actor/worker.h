#ifndef POMPC_ACTOR_WORKER_H_
#define POMPC_ACTOR_WORKER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "actor/core/evaluator.h"
#include "actor/core/stats.h"
#include "actor/planner_plan_source.h"
#include "actor/session.h"
#include "common/base/threads.h"
#include "common/base/turns.h"
#include "common/rpc/discovery.h"
#include "common/rpc/endpoint.h"
#include "run/run_client.h"

namespace pompc::actor {

// What a registered process does in its run: act, or evaluate. Run belongs to one thread; the rest
// is thread-safe.
class Worker {
 public:
  virtual ~Worker() = default;

  // Works until the run is over or Stop is called (OK), or until it fails (the error). REQUIRES: it
  // is called once.
  virtual absl::Status Run() = 0;
  // Returns what the work waits for at present, in words; empty when it waits for nothing.
  virtual std::string Waiting() = 0;

  // Takes in what the learner says at each heartbeat. Does not block for long.
  void OnNews(const run::RunClient::News& news);
  // Ends the work early. Idempotent.
  void Stop();

 protected:
  // Makes the work in progress do what the news and Stop ask for. It must not block.
  virtual void Follow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  bool done() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopped_ || news_.over(); }
  // Returns what Run returns once the work is done.
  absl::Status Outcome();

  Mutex mu_;
  // Signalled by OnNews and Stop.
  CondVar changed_;
  run::RunClient::News news_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

struct ActorWorkerOptions {
  // Finds the run's planners. Must outlive the worker.
  rpc::Discovery* planners = nullptr;
  std::vector<rpc::Endpoint> replay;
  int threads = 1;
  // The time for which Stop waits for rows that no shard has acknowledged. When the run is over or
  // the lease has ended, nobody needs them.
  absl::Duration flush_timeout;
  // See SessionOptions.
  Turns* turns = nullptr;
};

// Acts: one session after the other, each under the lease that is held when it starts. When a lease
// ends because the learner was unreachable, its session and the episodes in it end too; the next
// session starts new ones. Does not own stats and clock.
class ActorWorker : public Worker {
 public:
  ActorWorker(const ActorWorkerOptions& options, EnvironmentFactory factory, ActorStats* stats,
              Clock* clock);

  absl::Status Run() override;
  std::string Waiting() override;

 private:
  // Waits for the first news. Returns null when there is nothing more to do.
  std::shared_ptr<const proto::RegisterReply> AwaitLease();
  void Follow() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const ActorWorkerOptions options_;
  const EnvironmentFactory factory_;
  ActorStats* const stats_;
  Clock* const clock_;

  // The session in progress, and its lease.
  std::shared_ptr<Session> session_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const proto::RegisterReply> lease_ ABSL_GUARDED_BY(mu_);
};

struct EvaluatorWorkerOptions {
  // Finds the run's planners. Must outlive the worker.
  rpc::Discovery* planners = nullptr;
  EvaluatorOptions evaluator;
  // The pause before an evaluation that failed is played again, if it is still assigned.
  absl::Duration retry_after = absl::Seconds(10);
};

// Plays the evaluations that the learner assigns, one after the other, and hands their results to
// `report`. An evaluation that fails, or whose assignment is withdrawn, reports nothing; Waiting()
// says why it failed until it is played again. Does not own stats and clock.
class EvaluatorWorker : public Worker {
 public:
  // Hands in a result, and blocks until the learner has answered or the process stops.
  using Report = std::function<absl::Status(const proto::EvaluationAssignment& assignment,
                                            const EvaluationOutcome& outcome)>;

  EvaluatorWorker(const EvaluatorWorkerOptions& options, EnvironmentFactory factory, Report report,
                  ActorStats* stats, Clock* clock);

  absl::Status Run() override;
  std::string Waiting() override;

 private:
  // One evaluation in progress.
  struct Job {
    Job(const planner::PlannerClientOptions& planner, rpc::Discovery* planners,
        const EvaluatorOptions& options, const EvaluationTask& task,
        const EnvironmentFactory& factory, ActorStats* stats, Clock* clock)
        : plans(planner, planners), evaluator(options, task, factory, &plans, stats, clock) {}

    PlannerPlanSource plans;
    Evaluator evaluator;
  };

  // Waits for an assignment. Returns nothing when there is nothing more to do.
  std::optional<proto::EvaluationAssignment> AwaitAssignment();
  void Evaluate(const proto::EvaluationAssignment& assignment);
  std::shared_ptr<Job> StartJob(const proto::EvaluationAssignment& assignment);
  void Follow() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Returns whether the learner still assigns exactly this evaluation.
  bool Wanted(const proto::EvaluationAssignment& assignment) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const EvaluatorWorkerOptions options_;
  const EnvironmentFactory factory_;
  const Report report_;
  ActorStats* const stats_;
  Clock* const clock_;

  std::shared_ptr<Job> job_ ABSL_GUARDED_BY(mu_);
  // The evaluation in progress, or else the last one.
  proto::EvaluationAssignment assignment_ ABSL_GUARDED_BY(mu_);
  // Why that one failed; empty if it did not fail, or is in progress again.
  std::string failure_ ABSL_GUARDED_BY(mu_);
  // The last evaluation, finished or failed, is not played again before this time.
  absl::Duration not_before_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_WORKER_H_
