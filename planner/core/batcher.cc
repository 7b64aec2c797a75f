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

Batcher::Batcher(PlanBackend* backend, const ParameterStore* store, const BatcherOptions& options)
    : backend_(backend),
      store_(store),
      options_(options),
      queue_(backend->plans_one_by_one() ? options.slice : absl::InfiniteDuration()) {
  POMPC_CHECK_GE(backend->threads(), 1);
  for (int i = 0; i < backend->threads(); ++i) {
    timers_.push_back(std::make_unique<Timer>(options.clock, BatcherState::kIdle));
  }
  MutexLock lock(&join_mu_);
  for (const std::unique_ptr<Timer>& timer : timers_) {
    threads_.emplace_back("plan-batcher", [this, timer = timer.get()] { Run(*timer); });
  }
}

Batcher::~Batcher() { Close(); }

absl::StatusOr<uint64_t> Batcher::Submit(std::vector<PlanCall> calls) {
  const std::shared_ptr<const PlannerModel> newest = store_->Newest();
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
  MutexLock lock(&mu_);
  if (closed_) return absl::CancelledError("the planner is closing");
  const size_t woken = std::min(calls.size(), timers_.size());
  absl::StatusOr<uint64_t> id =
      queue_.Push(std::move(calls), newest->spec().max_queue, options_.clock->Now());
  if (!id.ok()) return id;
  // One thread for each call at most: waking all of them for a single call would have the others
  // contend for the lock only to sleep again.
  for (size_t i = 0; i < woken; ++i) changed_.Signal();
  return id;
}

void Batcher::Cancel(uint64_t first, size_t count) {
  // `done` is called without the lock, here and everywhere: it may call the batcher again.
  std::vector<PlanCall> removed;
  {
    MutexLock lock(&mu_);
    for (uint64_t id = first; id < first + count; ++id) {
      if (std::optional<PlanCall> call = queue_.Remove(id)) removed.push_back(*std::move(call));
    }
    stats_.cancelled += removed.size();
  }
  for (PlanCall& call : removed) call.done(absl::CancelledError("the caller gave the request up"));
}

Batcher::Stats Batcher::stats() const {
  MutexLock lock(&mu_);
  Stats stats = stats_;
  stats.queued = queue_.size();
  return stats;
}

void Batcher::Close() {
  std::vector<PlanCall> waiting;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    waiting = queue_.TakeAll();
    changed_.SignalAll();
  }
  for (PlanCall& call : waiting) call.done(absl::CancelledError("the planner is closing"));
  MutexLock lock(&join_mu_);
  for (Thread& thread : threads_) thread.Join();
}

void Batcher::Run(Timer& timer) {
  PlanQueue::Step step;
  while (NextStep(&step)) {
    for (auto& [call, status] : step.refused) call.done(std::move(status));
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
  // The newest parameters are looked up once for each batch, under the lock that took the calls, so
  // that a batch never mixes two versions.
  *step = queue_.Poll(options_.clock->Now(), store_->Newest(), threads());
  for (const auto& [call, status] : step->refused) {
    ++(absl::IsDeadlineExceeded(status) ? stats_.expired : stats_.failed);
  }
  return true;
}

void Batcher::PlanAndReply(PlanQueue::Step& step, Timer& timer) {
  timer.Enter(BatcherState::kComputing);
  const absl::Duration start = options_.clock->Now();
  POMPC_CHECK(!step.batch.empty() && step.model != nullptr);
  std::vector<const PlanItem*> items;
  std::vector<absl::Duration> queue_waits;
  for (const PlanCall& call : step.batch) {
    POMPC_DCHECK(CheckItem(call.item, step.model->spec()).ok());
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
  uint64_t planned = 0;
  for (size_t i = 0; i < step.batch.size(); ++i) {
    const absl::Status status = plans.ok() ? CheckPlan((*plans)[i], version) : plans.status();
    if (status.ok()) {
      ++planned;
      answers.push_back(PlanResult{std::move((*plans)[i]), version, queue_waits[i], compute,
                                   static_cast<int>(step.batch.size())});
    } else {
      answers.push_back(status);
    }
  }
  // The batch is counted before anybody hears of it, so that whoever has an answer finds it
  // counted.
  Count(planned, step.batch.size() - planned, compute);
  if (planned > 0 && options_.on_batch) options_.on_batch({compute, queue_waits});
  for (size_t i = 0; i < step.batch.size(); ++i) step.batch[i].done(std::move(answers[i]));
}

void Batcher::Count(uint64_t planned, uint64_t failed, absl::Duration compute) {
  MutexLock lock(&mu_);
  queue_.Planned(planned + failed, compute);
  ++stats_.batches;
  stats_.plans += planned;
  stats_.failed += failed;
}

}  // namespace pompc::planner
