#include "planner/core/plan_queue.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/retry.h"

namespace pompc::planner {
namespace {

// What a plan counts for its run's share: its time, or a guess before any was measured. A clock
// that does not resolve a plan's time must not make plans free.
absl::Duration Share(const PlannerRun& run) {
  return std::max(run.MeanPlanTime().value_or(absl::Milliseconds(1)), absl::Microseconds(1));
}

// A copy: the parameters may be replaced, and gone, at any time.
PlanSpec NewestSpec(const PlannerRun& run) {
  const std::shared_ptr<const PlannerModel> newest = run.parameters().Newest();
  POMPC_CHECK(newest != nullptr, "a call waits for parameters that are not there");
  return newest->spec();
}

}  // namespace

PlanQueue::PlanQueue(const Options& options) : options_(options) {
  POMPC_CHECK_GE(options.threads, 1);
}

absl::StatusOr<uint64_t> PlanQueue::Push(const std::shared_ptr<PlannerRun>& run,
                                         std::vector<PlanCall> calls, absl::Duration now) {
  POMPC_CHECK(!calls.empty());
  const auto waiting = runs_.find(run->id());
  const Run* old = waiting == runs_.end() ? nullptr : &waiting->second;
  POMPC_RETURN_IF_ERROR(CheckRoom(*run, old));
  POMPC_RETURN_IF_ERROR(CheckDeadline(*run, old, calls, now));

  Run& entry = runs_[run->id()];
  // A run that begins to wait starts at the present turn, without credit for the time in which it
  // asked for nothing, but with what it has had beyond its share.
  if (entry.lanes.empty()) entry.served = std::max(entry.served, turn_);
  entry.run = run;
  const uint64_t first = next_id_;
  for (PlanCall& call : calls) {
    POMPC_CHECK(call.client == calls[0].client && call.pinned == calls[0].pinned &&
                    call.deadline == calls[0].deadline,
                "calls that come together are of one client, deadline and version");
    call.id = next_id_++;
    call.submitted = now;
    where_.emplace(call.id, Where{&entry, RunLanes::LaneOf(call)});
    if (call.deadline < absl::InfiniteDuration()) deadlines_.emplace(call.deadline, call.id);
  }
  for (PlanCall& call : calls) entry.lanes.Push(std::move(call));
  CheckInvariants();
  return first;
}

absl::Status PlanQueue::CheckRoom(const PlannerRun& run, const Run* waiting) const {
  const auto max_queue = static_cast<size_t>(NewestSpec(run).max_queue);
  const size_t size = waiting == nullptr ? 0 : waiting->lanes.size();
  if (size < max_queue) return absl::OkStatus();
  absl::Status full = absl::ResourceExhaustedError(
      absl::StrCat(size, " requests wait already, planner.max_queue is ", max_queue));
  const std::optional<absl::Duration> plan = run.MeanPlanTime();
  if (!plan.has_value()) return full;
  // There is room when the calls too many are planned, beside those of the other runs.
  const auto runs = std::count_if(runs_.begin(), runs_.end(),
                                  [](const auto& entry) { return !entry.second.lanes.empty(); });
  const auto too_many = static_cast<int64_t>(size - max_queue + 1);
  return WithRetryAfter(std::move(full), *plan * too_many * runs / options_.threads);
}

absl::Status PlanQueue::CheckDeadline(const PlannerRun& run, const Run* waiting,
                                      const std::vector<PlanCall>& calls,
                                      absl::Duration now) const {
  if (empty() && in_flight_ < options_.threads) return absl::OkStatus();
  const absl::Duration deadline = calls.front().deadline;
  const std::optional<absl::Duration> batch = run.LeastBatchTime(now);
  if (deadline == absl::InfiniteDuration() || !batch.has_value()) return absl::OkStatus();
  const auto end = [&](size_t plans, absl::Duration others) {
    return now + std::max((LeastTime(run, plans, now) + others) / options_.threads, *batch);
  };
  // Where even an idle planner would be too late, to come again would not help: the caller must
  // hear that its deadline is too short, which its passing says.
  if (end(calls.size(), absl::ZeroDuration()) > deadline) return absl::OkStatus();
  // Usually there is time for all that waits, and nothing more needs to be known.
  const size_t all = calls.size() + (waiting == nullptr ? 0 : waiting->lanes.size());
  if (end(all, OthersTime(waiting, absl::InfiniteDuration(), now)) <= deadline) {
    return absl::OkStatus();
  }
  const size_t plans =
      waiting == nullptr ? calls.size()
                         : waiting->lanes.PlansUntil(RunLanes::LaneOf(calls.front()), calls.size());
  const absl::Duration start = waiting == nullptr ? turn_ : std::max(waiting->served, turn_);
  const absl::Duration least =
      end(plans, OthersTime(waiting, start + LeastTime(run, plans, now), now));
  if (least <= deadline) return absl::OkStatus();
  return WithRetryAfter(absl::ResourceExhaustedError(absl::StrCat(
                            "the deadline is in ", absl::FormatDuration(deadline - now),
                            ", but with the ", size(), " requests that wait, a plan now takes ",
                            absl::FormatDuration(least - now), " or longer")),
                        least - deadline);
}

absl::Duration PlanQueue::LeastTime(const PlannerRun& run, size_t plans, absl::Duration now) const {
  const std::optional<absl::Duration> batch = run.LeastBatchTime(now);
  if (!batch.has_value()) return absl::ZeroDuration();
  // The least is what full batches take.
  const int per_batch = options_.one_by_one ? 1 : NewestSpec(run).max_batch;
  return *batch * static_cast<int64_t>(plans) / per_batch;
}

absl::Duration PlanQueue::OthersTime(const Run* own, absl::Duration until,
                                     absl::Duration now) const {
  absl::Duration total;
  for (const auto& [id, run] : runs_) {
    if (&run == own || run.lanes.empty() || run.served >= until) continue;
    total += std::min(LeastTime(*run.run, run.lanes.size(), now), until - run.served);
  }
  return total;
}

PlanQueue::Step PlanQueue::Poll(absl::Duration now) {
  Step step;
  RefuseExpired(now, &step);
  while (Run* run = NextRun()) {
    FillBatch(*run, &step);
    // A run of which no call fits any more leaves its turn to the next.
    if (!step.batch.empty()) break;
  }
  if (!step.batch.empty()) ++in_flight_;
  CheckInvariants();
  return step;
}

// A walk over the runs, of which a planner serves few.
PlanQueue::Run* PlanQueue::NextRun() {
  Run* next = nullptr;
  const auto rank = [](const Run& run) { return std::pair(run.served, run.lanes.Next()->id); };
  for (auto it = runs_.begin(); it != runs_.end();) {
    Run& run = it->second;
    if (run.lanes.empty()) {
      // Nothing is left of what it has had beyond its share.
      it = run.served <= turn_ ? runs_.erase(it) : std::next(it);
      continue;
    }
    if (next == nullptr || rank(run) < rank(*next)) next = &run;
    ++it;
  }
  return next;
}

void PlanQueue::FillBatch(Run& run, Step* step) {
  // Taking the last call lets go of it.
  const std::shared_ptr<PlannerRun> planned = run.run;
  const std::shared_ptr<const PlannerModel> newest = planned->parameters().Newest();
  // An even share for each thread: one that took all would leave the others idle.
  const size_t threads = static_cast<size_t>(options_.threads);
  const size_t share = options_.one_by_one ? 1 : (run.lanes.size() + threads - 1) / threads;
  POMPC_CHECK_GE(run.served, turn_, "virtual time went back");
  while (true) {
    const PlanCall* next =
        step->batch.empty() ? run.lanes.Next() : run.lanes.Next(step->model.get(), newest.get());
    if (next == nullptr) break;
    const std::shared_ptr<const PlannerModel> model = next->pinned ? next->pinned : newest;
    POMPC_CHECK(model != nullptr, "a call waits for parameters that are not there");
    if (step->batch.size() >= std::min(share, static_cast<size_t>(model->spec().max_batch))) break;
    // The call fitted when it came, but the run may have been resumed with another horizon since.
    absl::Status fits = CheckItem(next->item, model->spec());
    PlanCall call = run.lanes.Serve(*next, /*leads=*/step->batch.empty());
    Forget(run, call);
    if (!fits.ok()) {
      step->refused.push_back({planned, std::move(call), std::move(fits)});
      continue;
    }
    step->run = planned;
    step->model = model;
    step->batch.push_back(std::move(call));
  }
  if (step->batch.empty()) return;
  turn_ = run.served;
  run.served += Share(*planned) * static_cast<int64_t>(step->batch.size());
}

void PlanQueue::Forget(Run& run, const PlanCall& call) {
  where_.erase(call.id);
  if (call.deadline < absl::InfiniteDuration()) deadlines_.erase({call.deadline, call.id});
  if (run.lanes.empty()) run.run = nullptr;
}

void PlanQueue::RefuseExpired(absl::Duration now, Step* step) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    std::optional<Removed> late = Remove(deadlines_.begin()->second);
    POMPC_CHECK(late.has_value(), "a deadline is forgotten with its call");
    absl::Status status = absl::DeadlineExceededError(
        absl::StrCat("waited ", absl::FormatDuration(now - late->call.submitted), " for a batch"));
    step->refused.push_back({std::move(late->run), std::move(late->call), std::move(status)});
  }
}

void PlanQueue::Planned(PlannerRun& run, size_t plans, absl::Duration compute, absl::Duration now) {
  POMPC_CHECK_GT(plans, 0u);
  POMPC_CHECK_GT(in_flight_, 0, "a batch is reported once");
  --in_flight_;
  run.Measured(plans, compute, now);
  // When all rest, nobody has had more than its share.
  if (idle()) runs_.clear();
}

std::optional<PlanQueue::Removed> PlanQueue::Remove(uint64_t id) {
  const auto where = where_.find(id);
  if (where == where_.end()) return std::nullopt;
  Run& run = *where->second.run;
  Removed removed{run.run, run.lanes.Remove(where->second.lane, id)};
  Forget(run, removed.call);
  CheckInvariants();
  return removed;
}

std::vector<PlanQueue::Removed> PlanQueue::TakeAll() {
  std::vector<uint64_t> ids;
  for (const auto& [id, where] : where_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  std::vector<Removed> all;
  for (const uint64_t id : ids) all.push_back(*Remove(id));
  return all;
}

size_t PlanQueue::size(const std::string& run_id) const {
  const auto run = runs_.find(run_id);
  return run == runs_.end() ? 0 : run->second.lanes.size();
}

void PlanQueue::CheckInvariants() const {
  POMPC_CHECK_GE(in_flight_, 0);
  POMPC_CHECK_LE(deadlines_.size(), size());
#ifndef NDEBUG
  size_t waiting = 0;
  for (const auto& [id, run] : runs_) {
    run.lanes.CheckInvariants();
    waiting += run.lanes.size();
    POMPC_CHECK_EQ(run.run == nullptr, run.lanes.empty());
    POMPC_CHECK(run.lanes.empty() || run.served >= turn_);
  }
  POMPC_CHECK_EQ(waiting, size());
#endif
}

}  // namespace pompc::planner
