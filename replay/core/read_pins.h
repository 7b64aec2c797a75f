#ifndef POMPC_REPLAY_CORE_READ_PINS_H_
#define POMPC_REPLAY_CORE_READ_PINS_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include "common/base/check.h"
#include "common/base/threads.h"

namespace pompc::replay {

// Keeps rows that readers copy from being overwritten: a reader pins all addresses from the one on
// that is the oldest when it begins, and the writer waits before it writes over a pinned one.
// Thread-safe; one writer.
class ReadPins {
 public:
  // Addresses from `address` on stay as they are until Unpin of the same address.
  void Pin(uint64_t address) {
    MutexLock lock(&mu_);
    pinned_.push_back(address);
    Update();
  }

  void Unpin(uint64_t address) {
    MutexLock lock(&mu_);
    const auto at = std::find(pinned_.begin(), pinned_.end(), address);
    POMPC_CHECK(at != pinned_.end(), "the address is not pinned");
    pinned_.erase(at);
    Update();
    changed_.Signal();
  }

  // The oldest pinned address; the highest number if there is none.
  uint64_t Oldest() const { return oldest_.load(std::memory_order_acquire); }
  // True if no address before `end` is pinned.
  bool IsFree(uint64_t end) const { return Oldest() >= end; }

  // Waits until no address before `end` is pinned.
  void WaitUntilFree(uint64_t end) {
    if (IsFree(end)) return;
    MutexLock lock(&mu_);
    while (!IsFree(end)) changed_.Wait(&mu_);
  }

 private:
  void Update() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto oldest = std::min_element(pinned_.begin(), pinned_.end());
    oldest_.store(oldest == pinned_.end() ? std::numeric_limits<uint64_t>::max() : *oldest,
                  std::memory_order_release);
  }

  Mutex mu_;
  CondVar changed_;
  std::vector<uint64_t> pinned_ ABSL_GUARDED_BY(mu_);
  std::atomic<uint64_t> oldest_{std::numeric_limits<uint64_t>::max()};
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_READ_PINS_H_
