#ifndef POMPC_COMMON_BASE_STATE_TIMER_H_
#define POMPC_COMMON_BASE_STATE_TIMER_H_

#include <array>
#include <cstddef>

#include "common/base/check.h"
#include "common/base/threads.h"

namespace pompc {

// Divides a worker's wall time among states ("stepping", "waiting for plan", ...). The worker is in
// exactly one state at any moment, so the states' times sum to the time since the start.
// Thread-safe: the worker enters states, and any thread reads them. `State` is an enum class with
// the values 0 to N-1.
template <typename State, size_t N>
class StateTimer {
 public:
  static constexpr size_t kStates = N;

  StateTimer(Clock* clock, State initial)
      : clock_(clock), current_(static_cast<size_t>(initial)), since_(clock->Now()) {}

  // Ends the present state and begins `state`.
  void Enter(State state) {
    MutexLock lock(&mu_);
    const absl::Duration now = clock_->Now();
    POMPC_DCHECK_LT(static_cast<size_t>(state), N);
    POMPC_DCHECK_GE(now, since_, "time went back");
    total_[current_] += now - since_;
    since_ = now;
    current_ = static_cast<size_t>(state);
  }

  // Returns the seconds spent in each state so far, including the present one.
  std::array<double, N> Seconds() const {
    MutexLock lock(&mu_);
    const absl::Duration now = clock_->Now();
    std::array<double, N> seconds;
    for (size_t i = 0; i < N; ++i) seconds[i] = absl::ToDoubleSeconds(total_[i]);
    seconds[current_] += absl::ToDoubleSeconds(now - since_);
    return seconds;
  }

 private:
  Clock* const clock_;
  mutable Mutex mu_;
  std::array<absl::Duration, N> total_ ABSL_GUARDED_BY(mu_) = {};
  size_t current_ ABSL_GUARDED_BY(mu_);
  absl::Duration since_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_STATE_TIMER_H_
