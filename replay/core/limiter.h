#ifndef POMPC_REPLAY_CORE_LIMITER_H_
#define POMPC_REPLAY_CORE_LIMITER_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pompc::replay {

// What the learner has granted a shard: how many rows it may take, and whether rows without a plan
// are still welcome. A pure decision; whoever asks does the waiting. Not thread-safe.
class Limiter {
 public:
  // Whether one more row may be accepted by a shard that has accepted `accepted_rows` so far.
  bool CanAccept(uint64_t accepted_rows) const { return accepted_rows < max_accepted_rows_; }

  // Replaces the bound, which may also go down. The end of the seed phase stays.
  void Grant(uint64_t max_accepted_rows, std::string reason, bool seed_phase_over) {
    max_accepted_rows_ = max_accepted_rows;
    reason_ = std::move(reason);
    seed_phase_over_ = seed_phase_over_ || seed_phase_over;
  }

  // Why a shard that has accepted `accepted_rows` takes no more, for those who wait.
  std::string WhyBlocked(uint64_t accepted_rows) const {
    return absl::StrCat("shard took ", accepted_rows, " rows of ", max_accepted_rows_,
                        " granted: ", reason_);
  }

  uint64_t max_accepted_rows() const { return max_accepted_rows_; }
  bool seed_phase_over() const { return seed_phase_over_; }

 private:
  uint64_t max_accepted_rows_ = 0;
  bool seed_phase_over_ = false;
  std::string reason_ = "the learner has granted nothing yet";
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_LIMITER_H_
