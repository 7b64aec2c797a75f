#ifndef POMPC_COMMON_BASE_MUTEX_H_
#define POMPC_COMMON_BASE_MUTEX_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/base/thread_annotations.h"

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

// A mutex that one writer holds alone, or any number of readers share. It is phase-fair (B.
// Brandenburg and J. Anderson, "Spin-based reader-writer synchronization for multiprocessor
// real-time systems", 2010, algorithm PF-T): a writer waits for the readers that were there before
// it, and a reader for one writer at most, so that neither starves the other, which
// std::shared_mutex does not promise. Who waits long sleeps. Not recursive, for readers neither.
class ABSL_LOCKABLE SharedMutex {
 public:
  SharedMutex() = default;
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    // Writers take turns in the order of their tickets. The one whose turn it is shuts the gate and
    // waits until as many readers have left as had come.
    const uint32_t ticket = tickets_.fetch_add(1);
    WaitUntil(served_, [ticket](uint32_t served) { return served == ticket; });
    const uint32_t arrived = arrived_.fetch_add(kGateShut | (ticket & kPhase));
    WaitUntil(left_, [arrived](uint32_t left) { return left == arrived; });
  }

  void Unlock() ABSL_UNLOCK_FUNCTION() {
    arrived_.fetch_and(~(kGateShut | kPhase));
    arrived_.notify_all();
    served_.fetch_add(1);
    served_.notify_all();
  }

  void ReaderLock() ABSL_SHARED_LOCK_FUNCTION() {
    const uint32_t gate = arrived_.fetch_add(kReader) & (kGateShut | kPhase);
    if (gate == 0) return;
    // The phase tells this writer from the next one, behind which the reader need not wait.
    WaitUntil(arrived_,
              [gate](uint32_t arrived) { return (arrived & (kGateShut | kPhase)) != gate; });
  }

  void ReaderUnlock() ABSL_UNLOCK_FUNCTION() {
    left_.fetch_add(kReader);
    left_.notify_all();
  }

 private:
  // Bits of arrived_: the phase of a writer, its presence, and above them the count of readers,
  // which may wrap around.
  static constexpr uint32_t kPhase = 1, kGateShut = 2, kReader = 4;

  template <typename Condition>
  static void WaitUntil(const std::atomic<uint32_t>& value, Condition condition) {
    for (uint32_t now = value.load(); !condition(now); now = value.load()) value.wait(now);
  }

  std::atomic<uint32_t> arrived_{0};
  std::atomic<uint32_t> left_{0};
  std::atomic<uint32_t> tickets_{0};
  std::atomic<uint32_t> served_{0};
};

// Holds a SharedMutex alone.
class ABSL_SCOPED_LOCKABLE WriterLock {
 public:
  explicit WriterLock(SharedMutex* mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) { mu_->Lock(); }
  ~WriterLock() ABSL_UNLOCK_FUNCTION() { mu_->Unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex* const mu_;
};

// Shares a SharedMutex with other readers.
class ABSL_SCOPED_LOCKABLE ReaderLock {
 public:
  explicit ReaderLock(SharedMutex* mu) ABSL_SHARED_LOCK_FUNCTION(mu) : mu_(mu) {
    mu_->ReaderLock();
  }
  ~ReaderLock() ABSL_UNLOCK_FUNCTION() { mu_->ReaderUnlock(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex* const mu_;
};

// Condition variable for Mutex. Waits are not timed: code that waits for time waits on a Clock
// (clock.h).
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

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_MUTEX_H_
