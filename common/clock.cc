#include "common/clock.h"

#include <algorithm>
#include <chrono>

#include "absl/time/clock.h"

namespace pompc {

class RealClock : public Clock {
 public:
  absl::Duration Now() const override {
    return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }

  bool WaitUntil(CondVar* cv, Mutex* mu, absl::Duration deadline) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    if (deadline == absl::InfiniteDuration()) {
      cv->Wait(mu);
      return true;
    }
    const auto at = std::chrono::steady_clock::time_point(
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(
            absl::ToChronoNanoseconds(deadline)));
    return cv->WaitUntil(mu, at);
  }
};

Clock* Clock::Real() {
  static RealClock* clock = new RealClock;
  return clock;
}

absl::Time WallTime() { return absl::Now(); }

absl::Duration FakeClock::Now() const {
  MutexLock lock(&mu_);
  return now_;
}

bool FakeClock::WaitUntil(CondVar* cv, Mutex* mu, absl::Duration deadline) {
  Waiter self{cv, mu, deadline};
  {
    MutexLock lock(&mu_);
    if (now_ >= deadline) return false;
    waiters_.push_back(&self);
    waiters_changed_.SignalAll();
  }
  // Advance() takes *mu before it signals, so a wake-up between registering and waiting cannot be
  // lost.
  cv->Wait(mu);
  MutexLock lock(&mu_);
  std::erase(waiters_, &self);
  return now_ < deadline;
}

void FakeClock::Advance(absl::Duration by) {
  std::vector<Waiter> due;
  {
    MutexLock lock(&mu_);
    now_ += by;
    for (const Waiter* waiter : waiters_) {
      if (waiter->deadline <= now_) due.push_back(*waiter);
    }
  }
  for (const Waiter& waiter : due) {
    waiter.mu->Lock();
    waiter.cv->SignalAll();
    waiter.mu->Unlock();
  }
}

void FakeClock::AwaitWaiters(int n) {
  MutexLock lock(&mu_);
  while (static_cast<int>(waiters_.size()) < n) waiters_changed_.Wait(&mu_);
}

}  // namespace pompc
