#include "common/process/freed_memory.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <limits>

#include "common/base/check.h"

namespace pompc {

void KeepFreedMemory(int64_t bytes) {
  POMPC_CHECK_GE(bytes, 0);
#ifdef __GLIBC__
  // glibc refuses thresholds above 32 MiB for blocks that are mapped one by one.
  constexpr int64_t kLargestMapThreshold = int64_t{32} << 20;
  mallopt(M_MMAP_THRESHOLD, static_cast<int>(std::min(bytes, kLargestMapThreshold)));
  mallopt(M_TRIM_THRESHOLD,
          static_cast<int>(std::min<int64_t>(bytes, std::numeric_limits<int>::max())));
#endif
}

void ReturnFreedMemory() {
#ifdef __GLIBC__
  malloc_trim(/*pad=*/0);
#endif
}

}  // namespace pompc
