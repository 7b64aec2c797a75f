#include "common/base/retry.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/values/numbers.h"

namespace pompc {
namespace {

constexpr char kRetryAfterPayload[] = "pompc/retry-after-ms";

}  // namespace

absl::Status WithRetryAfter(absl::Status status, absl::Duration after) {
  POMPC_CHECK(!status.ok(), "a call that succeeded needs no repetition");
  after =
      std::clamp(absl::Ceil(after, absl::Milliseconds(1)), absl::Milliseconds(1), absl::Hours(1));
  status.SetPayload(kRetryAfterPayload, absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(after))));
  return status;
}

std::optional<absl::Duration> RetryAfter(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryAfterPayload);
  if (!payload.has_value()) return std::nullopt;
  const absl::StatusOr<int64_t> ms = ParseInteger<int64_t>(std::string(*payload));
  POMPC_CHECK(ms.ok(), "WithRetryAfter writes a number");
  return absl::Milliseconds(*ms);
}

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
