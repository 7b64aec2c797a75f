#ifndef POMPC_COMMON_BASE_OCCASIONALLY_H_
#define POMPC_COMMON_BASE_OCCASIONALLY_H_

#include <cstdint>
#include <utility>

#include "absl/time/time.h"

namespace pompc {

// Decides when to report something that may happen often: the first time, and then at most once in
// `every`. Not thread-safe.
class Occasionally {
 public:
  explicit Occasionally(absl::Duration every) : every_(every) {}

  // Counts an occurrence at `now`. Returns how many there were since the last report; 0: do not
  // report.
  uint64_t Count(absl::Duration now) {
    ++untold_;
    if (now < next_) return 0;
    next_ = now + every_;
    return std::exchange(untold_, 0);
  }

 private:
  const absl::Duration every_;
  absl::Duration next_ = -absl::InfiniteDuration();
  uint64_t untold_ = 0;
};

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_OCCASIONALLY_H_
