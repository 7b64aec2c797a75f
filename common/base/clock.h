#ifndef POMPC_COMMON_BASE_CLOCK_H_
#define POMPC_COMMON_BASE_CLOCK_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "common/base/mutex.h"

namespace pompc {

// A source of time and of timed waits. Everything that measures or waits takes one, so that tests
// decide what time it is. Thread-safe. Time is monotonic: differences have a meaning, absolute
// values only between uses of one clock within one process.
class Clock {
 public:
  virtual ~Clock() = default;

  // Returns the time since an arbitrary start.
  virtual absl::Duration Now() const = 0;

  // Waits on `cv` until it is signalled or Now() >= deadline. Returns false if the deadline has
  // passed. May wake spuriously: callers loop over their condition. An infinite deadline waits for
  // the signal alone. To be called with *mu held.
  virtual bool WaitUntil(CondVar* cv, Mutex* mu, absl::Duration deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) = 0;

  // The process's real clock; never destroyed.
  static Clock* Real();
};

// Returns the time of day, for texts and for time stamps in files; never for measuring.
absl::Time WallTime();

// A clock for tests that moves only when told to. Waiters may use any number of condition
// variables; they must have returned from their waits before the clock is destroyed.
class FakeClock : public Clock {
 public:
  absl::Duration Now() const override;
  bool WaitUntil(CondVar* cv, Mutex* mu, absl::Duration deadline) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // Moves time forward and wakes every waiter whose deadline has come; these no longer count as
  // waiting when it returns. Must not be called with a mutex held that a waiter waits with.
  void Advance(absl::Duration by);

  // Blocks until at least `n` threads wait on this clock: how a test knows that workers have
  // nothing left to do. A thread whose condition variable was signalled counts until it has run:
  // after signalling, use AwaitWaits.
  void AwaitWaiters(int n);

  // Returns how many waits have ever begun.
  int64_t waits() const;

  // Blocks until `total` waits have begun: a worker signalled after waits() returned n is parked
  // again once AwaitWaits(n + 1) returns.
  void AwaitWaits(int64_t total);

 private:
  struct Waiter {
    CondVar* cv;
    Mutex* mu;
    absl::Duration deadline;
    // While Advance uses cv and mu, the waiter must not return: its caller may destroy them.
    bool pinned = false;
  };

  mutable Mutex mu_;
  CondVar changed_;
  absl::Duration now_ ABSL_GUARDED_BY(mu_);
  int64_t waits_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Waiter*> waiters_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_CLOCK_H_
