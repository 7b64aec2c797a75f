#ifndef POMPC_TESTS_SUPPORT_AWAIT_H_
#define POMPC_TESTS_SUPPORT_AWAIT_H_

#include <functional>

#include "common/base/threads.h"

namespace pompc {

// Looks at `condition` every millisecond until it holds; false if it still does not after 30 s. For
// what other threads bring about without anything to wait on, such as a counter in a status.
inline bool Await(const std::function<bool()>& condition) {
  Clock* const clock = Clock::Real();
  const absl::Duration give_up = clock->Now() + absl::Seconds(30);
  Mutex mu;
  CondVar never;
  while (!condition()) {
    if (clock->Now() > give_up) return false;
    MutexLock lock(&mu);
    clock->WaitUntil(&never, &mu, clock->Now() + absl::Milliseconds(1));
  }
  return true;
}

}  // namespace pompc

#endif  // POMPC_TESTS_SUPPORT_AWAIT_H_
