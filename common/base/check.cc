#include "common/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace pompc::check_internal {

void Failed(const char* file, int line, const char* condition, absl::string_view values,
            absl::string_view what) {
  // This does not use the log, because the log itself may be what is broken.
  const std::string text =
      absl::StrCat(file, ":", line, ": this should hold and does not: ", condition,
                   values.empty() ? "" : absl::StrCat(" (", values, ")"),
                   what.empty() ? "" : absl::StrCat(": ", what), "\n");
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
  std::abort();
}

}  // namespace pompc::check_internal
