#include "run/rows/row_counter.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace pompc::run {

RowCounter::RowCounter(size_t max_incarnations) : max_incarnations_(max_incarnations) {
  POMPC_CHECK_GT(max_incarnations, 0u);
}

void RowCounter::Observe(uint64_t incarnation, uint64_t rows) {
  std::vector<Incarnation>& known = state_.incarnations;
  auto found = std::find_if(known.begin(), known.end(),
                            [&](const Incarnation& entry) { return entry.id == incarnation; });
  if (found == known.end()) {
    // Room for the new one. A shard that restarts over and over must not grow the checkpoint.
    SumUpBeyond(max_incarnations_ - 1);
    found = known.insert(known.end(), Incarnation{incarnation, 0});
  }
  // Replies overtake each other, so a smaller count is an older one.
  if (rows > found->rows) {
    total_ += rows - found->rows;
    found->rows = rows;
  }
  CheckInvariants();
}

void RowCounter::SumUpBeyond(size_t most) {
  std::vector<Incarnation>& known = state_.incarnations;
  const size_t gone = known.size() - std::min(known.size(), most);
  for (size_t i = 0; i < gone; ++i) state_.past_rows += known[i].rows;
  known.erase(known.begin(), known.begin() + static_cast<ptrdiff_t>(gone));
}

void RowCounter::Restore(State state) {
  // From a checkpoint: incarnations that live on go on counting from what is stored here, the
  // others never answer again and stay part of the sum.
  state_ = std::move(state);
  total_ = state_.past_rows;
  for (const Incarnation& entry : state_.incarnations) total_ += entry.rows;
  // A run that resumes with fewer shards may tell fewer apart.
  SumUpBeyond(max_incarnations_);
  CheckInvariants();
}

void RowCounter::CheckInvariants() const {
  POMPC_CHECK_LE(state_.incarnations.size(), max_incarnations_);
#ifndef NDEBUG
  uint64_t sum = state_.past_rows;
  for (const Incarnation& entry : state_.incarnations) sum += entry.rows;
  POMPC_CHECK_EQ(sum, total_);
#endif
}

}  // namespace pompc::run
