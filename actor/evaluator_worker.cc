#include "actor/evaluator_worker.h"

#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/config/run_config.h"
#include "common/process/log.h"

namespace pompc::actor {

EvaluatorWorker::EvaluatorWorker(const EvaluatorWorkerOptions& options, EnvironmentFactory factory,
                                 Report report, ActorStats* stats, Clock* clock)
    : options_(options),
      factory_(std::move(factory)),
      report_(std::move(report)),
      stats_(stats),
      clock_(clock) {}

absl::Status EvaluatorWorker::Run() {
  while (const auto assignment = AwaitAssignment()) Evaluate(*assignment);
  MutexLock lock(&mu_);
  return stopped_ ? absl::OkStatus() : news_.error;
}

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
    Log().info("evaluation {} is not wanted any more", assignment.evaluation_id());
  } else if (!status.ok()) {
    Log().warn("evaluation {}: {}", assignment.evaluation_id(), status.ToString());
    MutexLock lock(&mu_);
    failure_ = absl::StrCat("evaluation ", assignment.evaluation_id(),
                            " failed and will be tried again: ", status.message());
  } else {
    Log().info("evaluation {}, version {}.{}: mean return {:.1f} over {} episodes",
               assignment.evaluation_id(), assignment.version().incarnation(),
               assignment.version().number(),
               std::accumulate(outcome->returns.begin(), outcome->returns.end(), 0.0) /
                   static_cast<double>(outcome->returns.size()),
               outcome->returns.size());
  }
  MutexLock lock(&mu_);
  // The next heartbeat may still assign what was just handed in; give it time.
  not_before_ = clock_->Now() + options_.retry_after;
}

std::shared_ptr<EvaluatorWorker::Job> EvaluatorWorker::StartJob(
    const proto::EvaluationAssignment& assignment) {
  MutexLock lock(&mu_);
  planner::PlannerClientOptions planner;
  planner.planners = options_.planners;
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
  job_ = std::make_shared<Job>(planner, evaluator, task, factory_, stats_, clock_);
  assignment_ = assignment;
  failure_.clear();
  Follow();
  return job_;
}

bool EvaluatorWorker::Wanted(const proto::EvaluationAssignment& assignment) const {
  return news_.evaluation.has_value() &&
         news_.evaluation->evaluation_id() == assignment.evaluation_id() &&
         news_.evaluation->version().incarnation() == assignment.version().incarnation() &&
         news_.evaluation->version().number() == assignment.version().number();
}

void EvaluatorWorker::OnNews(const run::RunClient::News& news) {
  MutexLock lock(&mu_);
  news_ = news;
  Follow();
}

void EvaluatorWorker::Stop() {
  MutexLock lock(&mu_);
  stopped_ = true;
  Follow();
}

void EvaluatorWorker::Follow() {
  changed_.SignalAll();
  if (job_ == nullptr || (!done() && Wanted(assignment_))) return;
  job_->evaluator.Cancel();
  job_->plans.Close();
}

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
