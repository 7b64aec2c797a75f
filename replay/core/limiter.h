#ifndef POMPC_REPLAY_CORE_LIMITER_H_
#define POMPC_REPLAY_CORE_LIMITER_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace pompc::replay {

// What the learner has granted a shard: how many rows it may take, and whether rows without a plan
// are still welcome. A pure decision; whoever asks does the waiting, and says what time it is. Not
// thread-safe.
class Limiter {
 public:
  // Grants come several times a second. After so long without one their reason is no longer known
  // to hold.
  static constexpr absl::Duration kSilence = absl::Seconds(3);

  // Whether one more row may be accepted by a shard that has accepted `accepted_rows` so far.
  bool CanAccept(uint64_t accepted_rows) const { return accepted_rows < max_accepted_rows_; }

  // The learner was heard from.
  void Heard(absl::Duration now) { heard_at_ = now; }

  // Replaces the bound, which may also go down. The end of the seed phase stays.
  void Grant(uint64_t max_accepted_rows, std::string reason, bool seed_phase_over,
             absl::Duration now) {
    Heard(now);
    max_accepted_rows_ = max_accepted_rows;
    reason_ = std::move(reason);
    seed_phase_over_ = seed_phase_over_ || seed_phase_over;
  }

  // Why a shard that has accepted `accepted_rows` takes no more, for those who wait.
  std::string WhyBlocked(uint64_t accepted_rows, absl::Duration now) const {
    return absl::StrCat("shard took ", accepted_rows, " rows of ", max_accepted_rows_,
                        " granted: ", Silent(now) ? SilenceText(now) : reason_);
  }

  // Whether the learner has not been heard from for too long.
  bool Silent(absl::Duration now) const { return now - heard_at_ >= kSilence; }

  uint64_t max_accepted_rows() const { return max_accepted_rows_; }
  bool seed_phase_over() const { return seed_phase_over_; }

 private:
  std::string SilenceText(absl::Duration now) const {
    return absl::StrCat("the learner has not been heard from for ",
                        absl::ToInt64Seconds(now - heard_at_), " s");
  }

  uint64_t max_accepted_rows_ = 0;
  bool seed_phase_over_ = false;
  std::string reason_ = "the learner has granted nothing yet";
  absl::Duration heard_at_;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_LIMITER_H_
