#ifndef POMPC_REPLAY_CORE_ACTIVITY_TIMER_H_
#define POMPC_REPLAY_CORE_ACTIVITY_TIMER_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/base/check.h"
#include "common/base/threads.h"

namespace pompc::replay {

// What a shard is doing. kBlocked means that it has nothing to do while a writer waits for the
// limiter.
enum class Activity { kIdle, kInserting, kSampling, kBlocked };

// Divides a shard's time among its activities, which sum to its age. Several threads work at once:
// the shard is sampling while any of them is, else inserting while one is. Thread-safe.
class ActivityTimer {
 public:
  static constexpr size_t kStates = 4;

  explicit ActivityTimer(Clock* clock) : clock_(clock), since_(clock->Now()) {}

  // `work` begins in one more thread, and ends in one.
  void Begin(Activity work) {
    MutexLock lock(&mu_);
    ++Workers(work);
    Update();
  }
  void End(Activity work) {
    MutexLock lock(&mu_);
    Leave(work);
    Update();
  }
  // Ends the work, and says whether writers wait.
  void End(Activity work, bool blocked) {
    MutexLock lock(&mu_);
    Leave(work);
    blocked_ = blocked;
    Update();
  }
  void SetBlocked(bool blocked) {
    MutexLock lock(&mu_);
    blocked_ = blocked;
    Update();
  }

  // Seconds in each activity, the present one included.
  std::array<double, kStates> Seconds() const {
    MutexLock lock(&mu_);
    std::array<double, kStates> seconds;
    for (size_t i = 0; i < kStates; ++i) seconds[i] = absl::ToDoubleSeconds(total_[i]);
    seconds[static_cast<size_t>(current_)] += absl::ToDoubleSeconds(clock_->Now() - since_);
    return seconds;
  }

 private:
  uint32_t& Workers(Activity work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return work == Activity::kSampling ? sampling_ : inserting_;
  }

  void Leave(Activity work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    POMPC_DCHECK_GT(Workers(work), 0u);
    --Workers(work);
  }

  void Update() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const Activity next = sampling_ > 0    ? Activity::kSampling
                          : inserting_ > 0 ? Activity::kInserting
                          : blocked_       ? Activity::kBlocked
                                           : Activity::kIdle;
    if (next == current_) return;
    const absl::Duration now = clock_->Now();
    total_[static_cast<size_t>(current_)] += now - since_;
    since_ = now;
    current_ = next;
  }

  Clock* const clock_;
  mutable Mutex mu_;
  std::array<absl::Duration, kStates> total_ ABSL_GUARDED_BY(mu_) = {};
  Activity current_ ABSL_GUARDED_BY(mu_) = Activity::kIdle;
  absl::Duration since_ ABSL_GUARDED_BY(mu_);
  uint32_t sampling_ ABSL_GUARDED_BY(mu_) = 0;
  uint32_t inserting_ ABSL_GUARDED_BY(mu_) = 0;
  bool blocked_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_ACTIVITY_TIMER_H_
