#ifndef POMPC_COMMON_BASE_OCCASIONALLY_H_
#define POMPC_COMMON_BASE_OCCASIONALLY_H_

#include <cstdint>
#include <utility>

#include "absl/time/time.h"

namespace pompc {

// When to tell of something that may happen often: the first time, then once in `every` at most.
// Not thread-safe.
class Occasionally {
 public:
  explicit Occasionally(absl::Duration every) : every_(every) {}

  // It happened at `now`. How often since it was last told, this time included; 0: do not tell yet.
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
