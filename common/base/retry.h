#ifndef POMPC_COMMON_BASE_RETRY_H_
#define POMPC_COMMON_BASE_RETRY_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "common/base/backoff.h"
#include "common/base/threads.h"

namespace pompc {

// What a failed call says about the next one. Two codes are left out on purpose: what NOT_FOUND and
// ABORTED mean is for each service to say.

// The other side has answered and will answer the same until somebody mends one of the two: it
// belongs to another run or version, takes no such message, or does not permit it.
inline bool IsLasting(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) ||
         absl::IsUnimplemented(status) || absl::IsPermissionDenied(status) ||
         absl::IsUnauthenticated(status);
}

// There was no answer, or none in time, or the other side has too much to do. Another server may
// answer, or the same one later.
inline bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) ||
         absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
}

// A refusal may say after which time there is likely to be room. The hint is a payload of the
// status; between processes it travels beside the status (rpc::kRetryAfterKey).

// The same status with the hint, rounded up to milliseconds and kept within 1 ms and 1 h. REQUIRES:
// `status` is not OK.
absl::Status WithRetryAfter(absl::Status status, absl::Duration after);

// The hint of `status`, if it has one.
std::optional<absl::Duration> RetryAfter(const absl::Status& status);

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
