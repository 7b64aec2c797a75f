#ifndef POMPC_COMMON_BASE_THREADS_H_
#define POMPC_COMMON_BASE_THREADS_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

// Threads, and what they wait with: locks, condition variables, time and events.

namespace pompc {

// A std::mutex that clang's thread-safety analysis understands. (absl::Mutex is not used:
// distributions build Abseil without instrumentation, and ThreadSanitizer then reports correct code
// as a race.)
class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mu_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mu_.unlock(); }
  // Tells the analysis that the lock is held where it cannot see it, as in a wait predicate.
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() {}

 private:
  friend class CondVar;
  std::mutex mu_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) { mu_->Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mu_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mu_;
};

// Condition variable for Mutex. Its waits are not timed: code that waits for a time uses a Clock.
class CondVar {
 public:
  // The caller holds *mu; it is released during the wait. The wait may end without a signal, so
  // callers loop over their condition.
  void Wait(Mutex* mu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  void Signal() { cv_.notify_one(); }
  void SignalAll() { cv_.notify_all(); }

 private:
  friend class RealClock;
  std::condition_variable cv_;

  // Waits as Wait does, but returns false at `deadline` of the steady clock.
  bool WaitUntil(Mutex* mu, std::chrono::steady_clock::time_point deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    const bool woken = cv_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return woken;
  }
};

// A source of time and of timed waits. Everything that measures or waits takes one, so that tests
// decide what time it is. Time never goes back. Only the difference between two times of the same
// clock means anything. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Returns the time since an arbitrary start.
  virtual absl::Duration Now() const = 0;

  // Waits on `cv` until it is signalled or Now() >= deadline. Returns false if the deadline has
  // passed. The wait may end without either, so callers loop over their condition. With an infinite
  // deadline it waits for the signal alone. The caller holds *mu.
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
  // waiting when it returns. The caller holds no mutex that a waiter waits with, otherwise it
  // blocks for ever. REQUIRES: `by` is not negative.
  void Advance(absl::Duration by);

  // Blocks until at least `n` threads wait on this clock, which tells a test that its workers have
  // nothing left to do. A thread that was signalled counts as waiting until it has run; after a
  // signal use AwaitWaits instead.
  void AwaitWaiters(int n);

  // Returns how many waits have ever begun.
  int64_t waits() const;

  // Blocks until `total` waits have begun. If waits() returned n before a worker was signalled, the
  // worker waits again once AwaitWaits(n + 1) has returned.
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

// A flag that is set once and can be waited for: "stop now", "a version has arrived". Thread-safe.
class Event {
 public:
  // Wakes all who wait. Idempotent.
  void Set() {
    MutexLock lock(&mu_);
    set_ = true;
    changed_.SignalAll();
  }

  bool IsSet() const {
    MutexLock lock(&mu_);
    return set_;
  }

  // Blocks until Set().
  void Wait() {
    MutexLock lock(&mu_);
    while (!set_) changed_.Wait(&mu_);
  }

  // Blocks until Set() or until `deadline` of `clock`, and returns whether it was set. With a
  // deadline of clock->Now() + d this is a sleep of d that Set() ends early.
  bool WaitUntil(Clock* clock, absl::Duration deadline) {
    MutexLock lock(&mu_);
    while (!set_) {
      if (!clock->WaitUntil(&changed_, &mu_, deadline)) break;
    }
    return set_;
  }

 private:
  mutable Mutex mu_;
  CondVar changed_;
  bool set_ ABSL_GUARDED_BY(mu_) = false;
};

// A named thread that its owner joins. Not thread-safe: one owner.
class Thread {
 public:
  Thread() = default;
  // Starts `body` under `name` (at most 15 characters show up in tools). The body must end by
  // itself when its owner tells it to; the destructor waits for it.
  Thread(std::string name, std::function<void()> body);
  Thread(Thread&&) = default;
  Thread& operator=(Thread&& other);
  ~Thread();

  // Waits until the body has returned. Idempotent.
  void Join();

 private:
  std::thread thread_;
};

// Returns how many cores this process may use, by its affinity and its container's share; at
// least 1.
int UsableCores();

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_THREADS_H_
