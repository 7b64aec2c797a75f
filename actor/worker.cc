#include "actor/worker.h"

#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/config/run_config.h"
#include "common/process/log.h"

namespace pompc::actor {

// Work is followed up under the lock, so that news and Stop act in the order in which they came.
void Worker::OnNews(const run::RunClient::News& news) {
  MutexLock lock(&mu_);
  news_ = news;
  changed_.SignalAll();
  Follow();
}

void Worker::Stop() {
  MutexLock lock(&mu_);
  stopped_ = true;
  changed_.SignalAll();
  Follow();
}

absl::Status Worker::Outcome() {
  MutexLock lock(&mu_);
  POMPC_CHECK(done());
  return stopped_ ? absl::OkStatus() : news_.error;
}

ActorWorker::ActorWorker(const ActorWorkerOptions& options, EnvironmentFactory factory,
                         ActorStats* stats, Clock* clock)
    : options_(options), factory_(std::move(factory)), stats_(stats), clock_(clock) {}

// One turn of the loop for each lease. A lease that ends does not end the process: the run client
// registers again, and its news brings the next lease.
absl::Status ActorWorker::Run() {
  while (true) {
    const std::shared_ptr<const proto::RegisterReply> lease = AwaitLease();
    if (lease == nullptr) break;
    SessionOptions options = {.lease = *lease,
                              .planners = options_.planners,
                              .replay = options_.replay,
                              .threads = options_.threads,
                              .turns = options_.turns};
    POMPC_ASSIGN_OR_RETURN(std::shared_ptr<Session> session,
                           Session::Make(options, factory_, stats_, clock_));
    {
      // News may have come while the session was made; Follow makes up for what it missed.
      MutexLock lock(&mu_);
      POMPC_CHECK(session_ == nullptr, "Run is called once");
      session_ = session;
      lease_ = lease;
      Follow();
    }
    Log().info("actor {}, incarnation {}: acts in {} environments", lease->index(),
               lease->incarnation(), lease->shards_size());
    const absl::Status status = session->Run();
    // Rows are worth waiting for only when this process was told to stop in the middle of a run
    // whose lease it holds: otherwise the run is over, or the shards refuse the lease's rows.
    bool flush = false;
    {
      MutexLock lock(&mu_);
      session_ = nullptr;
      // An error after Stop, or of a run that is over, is a consequence of ending.
      if (!status.ok() && !done()) return status;
      flush = stopped_ && !news_.over() && news_.registration == lease;
    }
    const absl::Status flushed = flush ? session->Flush(options_.flush_timeout) : absl::OkStatus();
    if (!flushed.ok()) Log().info("rows were lost at the end: {}", flushed.ToString());
  }
  return Outcome();
}

std::shared_ptr<const proto::RegisterReply> ActorWorker::AwaitLease() {
  MutexLock lock(&mu_);
  while (!done() && news_.registration == nullptr) changed_.Wait(&mu_);
  return done() ? nullptr : news_.registration;
}

// Rows that are written under a lease which has ended would be refused, so its session stops at
// once.
void ActorWorker::Follow() {
  if (session_ == nullptr) return;
  if (done() || news_.registration != lease_) {
    session_->Stop();
  } else {
    session_->SetPhase(news_.phase);
  }
}

std::string ActorWorker::Waiting() {
  std::shared_ptr<Session> session;
  {
    MutexLock lock(&mu_);
    session = session_;
  }
  return session == nullptr ? "" : session->Waiting();
}

EvaluatorWorker::EvaluatorWorker(const EvaluatorWorkerOptions& options, EnvironmentFactory factory,
                                 Report report, ActorStats* stats, Clock* clock)
    : options_(options),
      factory_(std::move(factory)),
      report_(std::move(report)),
      stats_(stats),
      clock_(clock) {}

absl::Status EvaluatorWorker::Run() {
  while (const auto assignment = AwaitAssignment()) Evaluate(*assignment);
  return Outcome();
}

// The evaluation that was just played is not played again before not_before_, a different one at
// once.
std::optional<proto::EvaluationAssignment> EvaluatorWorker::AwaitAssignment() {
  MutexLock lock(&mu_);
  while (!done()) {
    if (!news_.evaluation.has_value()) {
      changed_.Wait(&mu_);
    } else if (Wanted(assignment_) && clock_->Now() < not_before_) {
      clock_->WaitUntil(&changed_, &mu_, not_before_);
    } else {
      return news_.evaluation;
    }
  }
  return std::nullopt;
}

// A result counts only if it is still wanted when it is there: the learner may have withdrawn the
// assignment, or given it to another evaluator, in the meantime.
void EvaluatorWorker::Evaluate(const proto::EvaluationAssignment& assignment) {
  const std::shared_ptr<Job> job = StartJob(assignment);
  const absl::StatusOr<EvaluationOutcome> outcome = job->evaluator.Run();
  bool wanted = false;
  {
    MutexLock lock(&mu_);
    job_ = nullptr;
    wanted = !done() && Wanted(assignment);
  }
  absl::Status status = outcome.status();
  if (status.ok() && wanted) status = report_(assignment, *outcome);
  if (!wanted) {
    Log().info("evaluation {} is no longer assigned", assignment.evaluation_id());
  } else if (!status.ok()) {
    Log().warn("evaluation {}: {}", assignment.evaluation_id(), status.ToString());
    MutexLock lock(&mu_);
    failure_ = absl::StrCat("evaluation ", assignment.evaluation_id(),
                            " failed and will be retried: ", status.message());
  } else {
    Log().info("evaluation {}, version {}.{}: mean return {:.1f} over {} episodes",
               assignment.evaluation_id(), assignment.version().incarnation(),
               assignment.version().number(),
               std::accumulate(outcome->returns.begin(), outcome->returns.end(), 0.0) /
                   static_cast<double>(outcome->returns.size()),
               outcome->returns.size());
  }
  MutexLock lock(&mu_);
  // The next heartbeat may still assign the evaluation that was just handed in; give it time.
  not_before_ = clock_->Now() + options_.retry_after;
}

std::shared_ptr<EvaluatorWorker::Job> EvaluatorWorker::StartJob(
    const proto::EvaluationAssignment& assignment) {
  MutexLock lock(&mu_);
  planner::PlannerClientOptions planner;
  planner.run_id = news_.registration->run_id();
  planner.sticky = true;
  planner.clock = clock_;
  planner.seed = assignment.seed();
  planner.on_hedge = [stats = stats_](size_t queries) { stats->AddHedgedPlans(queries); };
  const EvaluationTask task = {
      .version = {assignment.version().incarnation(), assignment.version().number()},
      .episodes = static_cast<int>(assignment.episodes()),
      .seed = assignment.seed()};
  EvaluatorOptions evaluator = options_.evaluator;
  evaluator.plan_std = config::PlanStdRange(news_.registration->config());
  job_ =
      std::make_shared<Job>(planner, options_.planners, evaluator, task, factory_, stats_, clock_);
  assignment_ = assignment;
  failure_.clear();
  Follow();
  return job_;
}

// An assignment is the same only if both its id and its version agree.
bool EvaluatorWorker::Wanted(const proto::EvaluationAssignment& assignment) const {
  return news_.evaluation.has_value() &&
         news_.evaluation->evaluation_id() == assignment.evaluation_id() &&
         news_.evaluation->version().incarnation() == assignment.version().incarnation() &&
         news_.evaluation->version().number() == assignment.version().number();
}

// Cancel comes first: a plan that fails because the source closes must not look like a failure.
void EvaluatorWorker::Follow() {
  if (job_ == nullptr || (!done() && Wanted(assignment_))) return;
  job_->evaluator.Cancel();
  job_->plans.Close();
}

// The job is kept alive outside of the lock while its client is asked.
std::string EvaluatorWorker::Waiting() {
  std::shared_ptr<Job> job;
  {
    MutexLock lock(&mu_);
    if (job_ == nullptr) return Wanted(assignment_) ? failure_ : "";
    job = job_;
  }
  return job->plans.Waiting();
}

}  // namespace pompc::actor
