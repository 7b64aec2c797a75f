#ifndef POMPC_COMMON_BASE_BOUNDED_QUEUE_H_
#define POMPC_COMMON_BASE_BOUNDED_QUEUE_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/base/threads.h"

namespace pompc {

// A first-in first-out queue between threads, of at most `capacity` items. Thread-safe. Push blocks
// while it is full and Pop while it is empty; Close wakes both. REQUIRES: capacity > 0.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) { POMPC_CHECK_GT(capacity, 0u); }

  // Waits for room and adds the item. Returns false, with `item` lost, once the queue is closed.
  bool Push(T item) {
    MutexLock lock(&mu_);
    while (!closed_ && items_.size() >= capacity_) not_full_.Wait(&mu_);
    if (closed_) return false;
    items_.push_back(std::move(item));
    not_empty_.Signal();
    return true;
  }

  // Adds the item, or returns false, with `item` untouched, if the queue is full or closed.
  bool TryPush(T& item) {
    MutexLock lock(&mu_);
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(item));
    not_empty_.Signal();
    return true;
  }

  // Waits for an item until `deadline` of `clock`. Returns nothing when the time is up, and when
  // the queue is closed and empty.
  std::optional<T> Pop(Clock* clock, absl::Duration deadline = absl::InfiniteDuration()) {
    MutexLock lock(&mu_);
    while (items_.empty() && !closed_) {
      if (!clock->WaitUntil(&not_empty_, &mu_, deadline) && items_.empty()) return std::nullopt;
    }
    return TakeFront();
  }

  // Takes an item if there is one. Does not wait.
  std::optional<T> TryPop() {
    MutexLock lock(&mu_);
    return TakeFront();
  }

  // Refuses further items; those in the queue can still be taken. Idempotent.
  void Close() {
    MutexLock lock(&mu_);
    closed_ = true;
    not_empty_.SignalAll();
    not_full_.SignalAll();
  }

  size_t size() const {
    MutexLock lock(&mu_);
    return items_.size();
  }
  bool closed() const {
    MutexLock lock(&mu_);
    return closed_;
  }

 private:
  std::optional<T> TakeFront() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    not_full_.Signal();
    return item;
  }

  const size_t capacity_;
  mutable Mutex mu_;
  CondVar not_empty_;
  CondVar not_full_;
  std::deque<T> items_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_BOUNDED_QUEUE_H_
