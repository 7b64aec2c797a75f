#include "run/rows/row_counter.h"

#include <algorithm>
#include <utility>

namespace pompc::run {

void RowCounter::Observe(uint64_t incarnation, uint64_t rows) {
  std::vector<Incarnation>& known = state_.incarnations;
  auto found = std::find_if(known.begin(), known.end(),
                            [&](const Incarnation& entry) { return entry.id == incarnation; });
  if (found == known.end()) {
    if (known.size() >= max_incarnations_) {
      state_.past_rows += known.front().rows;
      known.erase(known.begin());
    }
    found = known.insert(known.end(), Incarnation{incarnation, 0});
  }
  if (rows <= found->rows) return;
  total_ += rows - found->rows;
  found->rows = rows;
}

void RowCounter::Restore(State state) {
  state_ = std::move(state);
  total_ = state_.past_rows;
  for (const Incarnation& entry : state_.incarnations) total_ += entry.rows;
}

}  // namespace pompc::run
