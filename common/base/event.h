#ifndef POMPC_COMMON_BASE_EVENT_H_
#define POMPC_COMMON_BASE_EVENT_H_

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace pompc {

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

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_EVENT_H_
