#ifndef POMPC_COMMON_BASE_SHARED_MUTEX_H_
#define POMPC_COMMON_BASE_SHARED_MUTEX_H_

#include <atomic>
#include <cstdint>

#include "absl/base/thread_annotations.h"

namespace pompc {

// A mutex that one writer holds alone, or any number of readers share. It is phase-fair (B.
// Brandenburg and J. Anderson, "Spin-based reader-writer synchronization for multiprocessor
// real-time systems", 2010, algorithm PF-T): a writer waits only for the readers that were there
// before it, and a reader for one writer at most. Neither can starve the other, which
// std::shared_mutex does not promise. A thread that waits long sleeps. A thread must not take it
// twice, not even to read.
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

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_SHARED_MUTEX_H_
