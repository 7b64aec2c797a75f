#include "planner/core/plan_queue.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::planner {

absl::StatusOr<uint64_t> PlanQueue::Push(std::vector<PlanCall> calls, size_t max_queue,
                                         absl::Duration now) {
  if (size_ >= max_queue) {
    return absl::ResourceExhaustedError(
        absl::StrCat(size_, " requests wait already, planner.max_queue is ", max_queue));
  }
  const uint64_t first = next_id_;
  for (PlanCall& call : calls) {
    call.id = next_id_++;
    call.submitted = now;
    next_deadline_ = std::min(next_deadline_, call.deadline);
    const auto [lane, is_new] = lanes_.try_emplace({call.client, call.pinned.get()});
    // Start-time fair queueing (Goyal et al., SIGCOMM 1996): a lane that begins to wait starts at
    // the present turn, without credit for the time in which it asked for nothing. Otherwise an
    // evaluator that returns after an hour would hold the planner until it had caught up.
    if (is_new) lane->second.served = turn_;
    lane->second.calls.push_back(std::move(call));
  }
  size_ += calls.size();
  CheckInvariants();
  return first;
}

PlanQueue::Step PlanQueue::Poll(absl::Duration now,
                                const std::shared_ptr<const PlannerModel>& newest, int threads) {
  POMPC_CHECK_GE(threads, 1);
  Step step;
  RefuseExpired(now, &step);
  // An even share for each thread: where plans are made one after the other, a thread that took all
  // would leave the others idle.
  const size_t share = std::min((size_ + threads - 1) / threads, MostInSlice());
  while (true) {
    const auto lane = NextLane(step.model.get(), newest.get());
    if (lane == lanes_.end()) break;
    const PlanCall& first = lane->second.calls.front();
    const std::shared_ptr<const PlannerModel> model = first.pinned ? first.pinned : newest;
    POMPC_CHECK(model != nullptr, "a call waits for parameters that are not there");
    if (step.batch.size() >= std::min(share, static_cast<size_t>(model->spec().max_batch))) break;
    // The call fitted when it came, but the run may have been resumed with another horizon since.
    absl::Status fits = CheckItem(first.item, model->spec());
    // The lane that leads a batch is the one served least of all; those that join it, because they
    // wait for the same parameters, may be ahead of others.
    POMPC_CHECK_GE(lane->second.served, turn_, "virtual time went back");
    if (step.batch.empty()) turn_ = lane->second.served;
    ++lane->second.served;
    PlanCall call = TakeFirst(lane);
    if (!fits.ok()) {
      step.refused.emplace_back(std::move(call), std::move(fits));
      continue;
    }
    step.model = model;
    step.batch.push_back(std::move(call));
  }
  CheckInvariants();
  return step;
}

// A walk over all lanes. There is one for each client that waits, and a plan takes milliseconds.
PlanQueue::Lanes::iterator PlanQueue::NextLane(const PlannerModel* model,
                                               const PlannerModel* newest) {
  auto next = lanes_.end();
  for (auto lane = lanes_.begin(); lane != lanes_.end(); ++lane) {
    const PlannerModel* wanted = lane->first.second != nullptr ? lane->first.second : newest;
    if (model != nullptr && wanted != model) continue;
    const auto rank = [](const Lane& l) { return std::pair(l.served, l.calls.front().id); };
    if (next == lanes_.end() || rank(lane->second) < rank(next->second)) next = lane;
  }
  return next;
}

PlanCall PlanQueue::TakeFirst(Lanes::iterator lane) {
  POMPC_CHECK(!lane->second.calls.empty() && size_ > 0);
  PlanCall call = std::move(lane->second.calls.front());
  lane->second.calls.pop_front();
  --size_;
  if (lane->second.calls.empty()) lanes_.erase(lane);
  return call;
}

void PlanQueue::RefuseExpired(absl::Duration now, Step* step) {
  // Poll runs for every batch, and deadlines rarely pass. The earliest one is kept so that the walk
  // through all calls is made only when one of them may have passed; it may be too early, never
  // late.
  if (next_deadline_ > now) return;
  next_deadline_ = absl::InfiniteDuration();
  for (auto it = lanes_.begin(); it != lanes_.end();) {
    std::deque<PlanCall> waiting;
    for (PlanCall& call : it->second.calls) {
      if (call.deadline > now) {
        next_deadline_ = std::min(next_deadline_, call.deadline);
        waiting.push_back(std::move(call));
        continue;
      }
      absl::Status late = absl::DeadlineExceededError(
          absl::StrCat("waited ", absl::FormatDuration(now - call.submitted), " for a batch"));
      step->refused.emplace_back(std::move(call), std::move(late));
      --size_;
    }
    it->second.calls = std::move(waiting);
    it = it->second.calls.empty() ? lanes_.erase(it) : std::next(it);
  }
}

void PlanQueue::Planned(size_t plans, absl::Duration compute) {
  POMPC_CHECK_GT(plans, 0u);
  // The newest batch counts a quarter: neither a hiccup of the machine nor the first plans with
  // other parameters, which warm caches up, matter for long.
  const absl::Duration each = compute / static_cast<int64_t>(plans);
  plan_time_ = plan_time_.has_value() ? *plan_time_ * 0.75 + each * 0.25 : each;
}

size_t PlanQueue::MostInSlice() const {
  constexpr double kMost = 1 << 20;
  if (slice_ == absl::InfiniteDuration()) return static_cast<size_t>(kMost);
  if (!plan_time_.has_value()) return 1;
  // The clock may not resolve a plan's time; the quotient is then infinite, and clamped.
  const double plans = absl::FDivDuration(slice_, *plan_time_);
  return static_cast<size_t>(std::clamp(plans, 1.0, kMost));
}

std::optional<PlanCall> PlanQueue::Remove(uint64_t id) {
  for (auto lane = lanes_.begin(); lane != lanes_.end(); ++lane) {
    std::deque<PlanCall>& calls = lane->second.calls;
    const auto it = std::lower_bound(
        calls.begin(), calls.end(), id,
        [](const PlanCall& call, uint64_t wanted) { return call.id < wanted; });
    if (it == calls.end() || it->id != id) continue;
    std::optional<PlanCall> call(std::move(*it));
    calls.erase(it);
    --size_;
    if (calls.empty()) lanes_.erase(lane);
    CheckInvariants();
    return call;
  }
  return std::nullopt;
}

std::vector<PlanCall> PlanQueue::TakeAll() {
  std::vector<PlanCall> all;
  for (auto& [key, lane] : lanes_) {
    std::move(lane.calls.begin(), lane.calls.end(), std::back_inserter(all));
  }
  std::sort(all.begin(), all.end(),
            [](const PlanCall& a, const PlanCall& b) { return a.id < b.id; });
  POMPC_CHECK_EQ(all.size(), size_);
  lanes_.clear();
  size_ = 0;
  return all;
}

void PlanQueue::CheckInvariants() const {
  // There is a lane while it has calls.
  POMPC_CHECK_EQ(lanes_.empty(), empty());
  POMPC_CHECK_LE(lanes_.size(), size_);
#ifndef NDEBUG
  CheckLanes();
#endif
}

void PlanQueue::CheckLanes() const {
  size_t waiting = 0;
  for (const auto& [key, lane] : lanes_) {
    POMPC_CHECK(!lane.calls.empty());
    POMPC_CHECK_GE(lane.served, turn_);
    waiting += lane.calls.size();
    uint64_t before = 0;
    for (const PlanCall& call : lane.calls) {
      POMPC_CHECK_GT(call.id, before);
      POMPC_CHECK_LT(call.id, next_id_);
      POMPC_CHECK_GE(call.deadline, next_deadline_);
      POMPC_CHECK(call.client == key.first && call.pinned.get() == key.second);
      before = call.id;
    }
  }
  POMPC_CHECK_EQ(waiting, size_);
}

}  // namespace pompc::planner
