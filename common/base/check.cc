#include "common/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace pompc::check_internal {

void Failed(const char* file, int line, const char* condition, absl::string_view values,
            absl::string_view what) {
  // This writes to standard error itself, because the log may be what is broken.
  const std::string text = absl::StrCat(file, ":", line, ": check failed: ", condition,
                                        values.empty() ? "" : absl::StrCat(" (", values, ")"),
                                        what.empty() ? "" : absl::StrCat(": ", what), "\n");
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
  std::abort();
}

}  // namespace pompc::check_internal
