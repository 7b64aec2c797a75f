#ifndef POMPC_COMMON_BASE_RETRY_H_
#define POMPC_COMMON_BASE_RETRY_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/event.h"

namespace pompc {

struct RetryOptions {
  BackoffOptions backoff;
  // Seed of the jitter.
  uint64_t seed = 0;
  // No attempt begins later than this after the call; one in progress is not cut short.
  absl::Duration give_up_after = absl::InfiniteDuration();
  // Called before each wait with the error and the delay, to report them; may be empty.
  std::function<void(const absl::Status& error, absl::Duration delay)> on_retry;
};

// Calls `attempt` until it returns anything but UNAVAILABLE, with jittered exponential delays
// between the attempts, and returns that. `attempt` must be safe to repeat. After `give_up_after`
// it returns the last UNAVAILABLE, and CANCELLED as soon as `*stop` is set. Blocks the caller.
absl::Status RetryWhileUnavailable(Clock* clock, Event* stop, const RetryOptions& options,
                                   const std::function<absl::Status()>& attempt);

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_RETRY_H_
