#include "planner/core/plan_queue.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace pompc::planner {

absl::StatusOr<uint64_t> PlanQueue::Push(std::vector<PlanCall> calls, size_t max_queue,
                                         absl::Duration now) {
  if (calls_.size() >= max_queue) {
    return absl::ResourceExhaustedError(
        absl::StrCat(calls_.size(), " requests wait already, planner.max_queue is ", max_queue));
  }
  const uint64_t first = next_id_;
  for (PlanCall& call : calls) {
    call.id = next_id_++;
    call.submitted = now;
    calls_.push_back(std::move(call));
  }
  return first;
}

PlanQueue::Step PlanQueue::Poll(absl::Duration now,
                                const std::shared_ptr<const PlannerModel>& newest, int threads) {
  Step step;
  const size_t share = (calls_.size() + threads - 1) / threads;
  std::deque<PlanCall> still_waiting;
  for (PlanCall& call : calls_) {
    const std::shared_ptr<const PlannerModel>& model = call.pinned ? call.pinned : newest;
    absl::Status status = CheckItem(call.item, model->spec());
    if (call.deadline <= now) {
      status = absl::DeadlineExceededError(
          absl::StrCat("waited ", absl::FormatDuration(now - call.submitted), " for a batch"));
    }
    if (!status.ok()) {
      step.refused.emplace_back(std::move(call), std::move(status));
      continue;
    }
    if (step.batch.empty()) step.model = model;
    const size_t limit = std::min(share, static_cast<size_t>(model->spec().max_batch));
    if (model == step.model && step.batch.size() < limit) {
      step.batch.push_back(std::move(call));
    } else {
      still_waiting.push_back(std::move(call));
    }
  }
  calls_ = std::move(still_waiting);
  return step;
}

std::optional<PlanCall> PlanQueue::Remove(uint64_t id) {
  const auto it = std::lower_bound(calls_.begin(), calls_.end(), id,
                                   [](const PlanCall& call, uint64_t id) { return call.id < id; });
  if (it == calls_.end() || it->id != id) return std::nullopt;
  std::optional<PlanCall> call(std::move(*it));
  calls_.erase(it);
  return call;
}

std::vector<PlanCall> PlanQueue::TakeAll() {
  std::vector<PlanCall> all(std::make_move_iterator(calls_.begin()),
                            std::make_move_iterator(calls_.end()));
  calls_.clear();
  return all;
}

}  // namespace pompc::planner
