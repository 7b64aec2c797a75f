#ifndef POMPC_COMMON_BASE_BACKOFF_H_
#define POMPC_COMMON_BASE_BACKOFF_H_

#include <algorithm>
#include <cstdint>
#include <random>

#include "absl/time/time.h"

namespace pompc {

struct BackoffOptions {
  absl::Duration initial = absl::Milliseconds(100);
  absl::Duration max = absl::Seconds(5);
  double factor = 2.0;
};

// Computes delays between retries: exponential, with jitter in [delay/2, delay], so that clients of
// a server that was restarted do not all return at once. Not thread-safe.
class Backoff {
 public:
  using Options = BackoffOptions;

  Backoff(const Options& options, uint64_t seed)
      : options_(options), delay_(options.initial), rng_(seed) {}

  // Returns how long to wait before the next attempt.
  absl::Duration Next() {
    const absl::Duration delay = delay_;
    delay_ = std::min(delay_ * options_.factor, options_.max);
    return delay * std::uniform_real_distribution<double>(0.5, 1.0)(rng_);
  }

  // Starts over with the shortest delay, after a success.
  void Reset() { delay_ = options_.initial; }

 private:
  const Options options_;
  absl::Duration delay_;
  std::mt19937_64 rng_;
};

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_BACKOFF_H_
