#include "planner/core/batcher.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/values/number_check.h"

namespace pompc::planner {
namespace {

// Numbers that no plan can have must not reach an actuator or replay. A model that has diverged
// plans NaN, and its shards would refuse the rows much later, naming nobody.
absl::Status CheckPlan(const Plan& plan, ParameterVersion version) {
  absl::Status status = CheckActions("action", plan.action);
  status.Update(CheckActions("plan_mean", plan.plan_mean));
  status.Update(CheckStds("plan_std", StdRange(), plan.plan_std));
  status.Update(CheckActions("warm_start", plan.warm_start));
  status.Update(CheckMagnitudes("plan_value", {&plan.plan_value, 1}));
  if (status.ok()) return status;
  return absl::InternalError(absl::StrCat("the plan is none: ", status.message(), "; parameters ",
                                          version.ToString(), " have probably diverged"));
}

}  // namespace

Batcher::Batcher(PlanBackend* backend, const BatcherOptions& options)
    : backend_(backend),
      options_(options),
      queue_({.threads = backend->threads(), .one_by_one = backend->plans_one_by_one()}) {
  for (int i = 0; i < backend->threads(); ++i) {
    timers_.push_back(std::make_unique<Timer>(options.clock, BatcherState::kIdle));
  }
  MutexLock lock(&join_mu_);
  for (const std::unique_ptr<Timer>& timer : timers_) {
    threads_.emplace_back("plan-batcher", [this, timer = timer.get()] { Run(*timer); });
  }
}

Batcher::~Batcher() { Close(); }

absl::StatusOr<uint64_t> Batcher::Submit(const std::shared_ptr<PlannerRun>& run,
                                         std::vector<PlanCall> calls) {
  POMPC_CHECK(run != nullptr);
  const std::shared_ptr<const PlannerModel> newest = run->parameters().Newest();
  if (newest == nullptr) {
    return absl::UnavailableError("the planner has no parameters yet");
  }
  // Requests are checked here, on the caller's thread and before they wait, so that a bad one costs
  // no other its place. They are checked again when they are planned (PlanQueue::Poll), since the
  // newest parameters may be others by then.
  for (size_t i = 0; i < calls.size(); ++i) {
    const PlannerModel& model = calls[i].pinned ? *calls[i].pinned : *newest;
    POMPC_RETURN_IF_ERROR(
        Annotate(CheckItem(calls[i].item, model.spec()), absl::StrCat("queries[", i, "]")));
  }
  const size_t count = calls.size();
  absl::StatusOr<uint64_t> id;
  {
    MutexLock lock(&mu_);
    if (draining_ || closed_) return absl::CancelledError("the planner is stopping");
    id = queue_.Push(run, std::move(calls), options_.clock->Now());
    // One thread for each call at most: waking all of them for a single call would have the others
    // contend for the lock only to sleep again.
    for (size_t i = 0; id.ok() && i < std::min(count, timers_.size()); ++i) changed_.Signal();
  }
  if (!id.ok()) run->Count({.refused = count});
  return id;
}

void Batcher::Cancel(uint64_t first, size_t count) {
  // `done` is called without the lock, here and everywhere: it may call the batcher again.
  std::vector<PlanQueue::Removed> removed;
  {
    MutexLock lock(&mu_);
    for (uint64_t id = first; id < first + count; ++id) {
      if (auto call = queue_.Remove(id)) removed.push_back(*std::move(call));
    }
    if (queue_.idle()) idle_.SignalAll();
  }
  for (PlanQueue::Removed& call : removed) {
    call.run->Count({.cancelled = 1});
    call.call.done(absl::CancelledError("the caller gave the request up"));
  }
}

size_t Batcher::queued() const {
  MutexLock lock(&mu_);
  return queue_.size();
}

size_t Batcher::queued(const std::string& run_id) const {
  MutexLock lock(&mu_);
  return queue_.size(run_id);
}

bool Batcher::Drain(absl::Duration timeout) {
  const absl::Duration deadline = options_.clock->Now() + timeout;
  MutexLock lock(&mu_);
  draining_ = true;
  while (!queue_.idle() && !closed_) {
    if (!options_.clock->WaitUntil(&idle_, &mu_, deadline)) break;
  }
  return queue_.idle();
}

void Batcher::Close() {
  std::vector<PlanQueue::Removed> waiting;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    waiting = queue_.TakeAll();
    changed_.SignalAll();
    idle_.SignalAll();
  }
  for (PlanQueue::Removed& call : waiting) {
    call.call.done(absl::CancelledError("the planner is stopping"));
  }
  MutexLock lock(&join_mu_);
  for (Thread& thread : threads_) thread.Join();
}

void Batcher::Run(Timer& timer) {
  PlanQueue::Step step;
  while (NextStep(&step)) {
    for (PlanQueue::Step::Refused& refused : step.refused) {
      const bool late = absl::IsDeadlineExceeded(refused.status);
      refused.run->Count(late ? PlannerRun::Stats{.expired = 1} : PlannerRun::Stats{.failed = 1});
      refused.call.done(std::move(refused.status));
    }
    if (!step.batch.empty()) PlanAndReply(step, timer);
    timer.Enter(BatcherState::kIdle);
    // A thread that waits must not hold parameters: the version may be replaced meanwhile, and its
    // gigabytes would stay.
    step = PlanQueue::Step();
  }
}

bool Batcher::NextStep(PlanQueue::Step* step) {
  MutexLock lock(&mu_);
  while (queue_.empty() && !closed_) {
    options_.clock->WaitUntil(&changed_, &mu_, absl::InfiniteDuration());
  }
  if (closed_) return false;
  *step = queue_.Poll(options_.clock->Now());
  if (queue_.idle()) idle_.SignalAll();
  return true;
}

void Batcher::PlanAndReply(PlanQueue::Step& step, Timer& timer) {
  timer.Enter(BatcherState::kComputing);
  const absl::Duration start = options_.clock->Now();
  POMPC_CHECK(!step.batch.empty() && step.model != nullptr);
  std::vector<const PlanItem*> items;
  std::vector<absl::Duration> queue_waits;
  const PlanSpec& spec = step.model->spec();
  for (PlanCall& call : step.batch) {
    // The time in the queue counts: what a robot waits for is the action.
    call.item.finish_by = call.submitted + spec.budget;
    POMPC_DCHECK(CheckItem(call.item, spec).ok());
    items.push_back(&call.item);
    queue_waits.push_back(start - call.submitted);
  }
  // The long part, without any lock: Submit, Cancel and the other threads continue meanwhile.
  absl::StatusOr<std::vector<Plan>> plans = backend_->PlanBatch(*step.model, items);
  const absl::Duration compute = options_.clock->Now() - start;
  POMPC_CHECK(!plans.ok() || plans->size() == items.size(), "one plan for each item");
  timer.Enter(BatcherState::kReplying);

  const ParameterVersion version = step.model->version();
  std::vector<absl::StatusOr<PlanResult>> answers;
  PlannerRun::Stats batch{.batches = 1};
  for (size_t i = 0; i < step.batch.size(); ++i) {
    const absl::Status status = plans.ok() ? CheckPlan((*plans)[i], version) : plans.status();
    if (status.ok()) {
      const int iterations = (*plans)[i].iterations;
      ++batch.plans;
      batch.iterations += static_cast<uint64_t>(iterations);
      const bool limited = spec.budget < absl::InfiniteDuration();
      if (limited && iterations < spec.iterations) ++batch.shortened;
      batch.waited += queue_waits[i];
      answers.push_back(PlanResult{std::move((*plans)[i]), version, queue_waits[i], compute,
                                   static_cast<int>(step.batch.size())});
    } else {
      ++batch.failed;
      answers.push_back(status);
    }
  }
  // The batch is counted before anybody hears of it, so that whoever has an answer finds it
  // counted.
  Count(*step.run, batch, compute);
  if (batch.plans > 0 && options_.on_batch) options_.on_batch({compute, queue_waits});
  for (size_t i = 0; i < step.batch.size(); ++i) step.batch[i].done(std::move(answers[i]));
}

void Batcher::Count(PlannerRun& run, const PlannerRun::Stats& batch, absl::Duration compute) {
  run.Count(batch);
  MutexLock lock(&mu_);
  queue_.Planned(run, batch.plans + batch.failed, compute, options_.clock->Now());
  if (queue_.idle()) idle_.SignalAll();
}

}  // namespace pompc::planner
