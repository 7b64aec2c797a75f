#ifndef POMPC_COMMON_CLOCK_H_
#define POMPC_COMMON_CLOCK_H_

#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"

namespace pompc {

// Source of time and of timed waits. Everything that measures or waits takes one, so that tests
// decide what time it is. Thread-safe. Time is monotonic: differences mean something, absolute
// values only between uses of one clock within one process.
class Clock {
 public:
  virtual ~Clock() = default;

  // Time since an arbitrary start.
  virtual absl::Duration Now() const = 0;

  // Waits on `cv` until it is signalled or Now() >= deadline. Returns false if the deadline has
  // passed. May wake spuriously: callers loop over their condition. An infinite deadline waits for
  // the signal alone. REQUIRES: *mu is held.
  virtual bool WaitUntil(CondVar* cv, Mutex* mu, absl::Duration deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) = 0;

  // The process's real clock; never destroyed.
  static Clock* Real();
};

// Time of day, for what people read and for time stamps in files; never for measuring.
absl::Time WallTime();

// Moves only when told to.
class FakeClock : public Clock {
 public:
  absl::Duration Now() const override;
  bool WaitUntil(CondVar* cv, Mutex* mu, absl::Duration deadline) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // Moves time forward and wakes every waiter whose deadline has come.
  void Advance(absl::Duration by);

  // Blocks until `n` threads wait on this clock: how a test knows that a worker has nothing left to
  // do.
  void AwaitWaiters(int n);

 private:
  struct Waiter {
    CondVar* cv;
    Mutex* mu;
    absl::Duration deadline;
  };

  mutable Mutex mu_;
  CondVar waiters_changed_;
  absl::Duration now_ ABSL_GUARDED_BY(mu_);
  std::vector<Waiter*> waiters_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc

#endif  // POMPC_COMMON_CLOCK_H_
