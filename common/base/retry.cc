#include "common/base/retry.h"

#include "absl/strings/str_cat.h"

namespace pompc {

absl::Status RetryWhileUnavailable(Clock* clock, Event* stop, const RetryOptions& options,
                                   const std::function<absl::Status()>& attempt) {
  Backoff backoff(options.backoff, options.seed);
  const absl::Duration give_up = clock->Now() + options.give_up_after;
  while (true) {
    if (stop->IsSet()) return absl::CancelledError("stopped");
    const absl::Status status = attempt();
    if (status.code() != absl::StatusCode::kUnavailable) return status;
    const absl::Duration delay = backoff.Next();
    // An attempt after the wait would begin too late, so the wait is not worth it.
    if (clock->Now() + delay >= give_up) return status;
    if (options.on_retry) options.on_retry(status, delay);
    if (stop->WaitUntil(clock, clock->Now() + delay)) {
      return absl::CancelledError(
          absl::StrCat("stopped while waiting to retry: ", status.message()));
    }
  }
}

}  // namespace pompc
