#include "common/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace pompc::check_internal {

void Failed(const char* file, int line, const char* condition, absl::string_view values,
            absl::string_view what) {
  // Not by way of the log: whatever is broken may be the log itself.
  const std::string text =
      absl::StrCat(file, ":", line, ": this should hold and does not: ", condition,
                   values.empty() ? "" : absl::StrCat(" (", values, ")"),
                   what.empty() ? "" : absl::StrCat(": ", what), "\n");
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
  std::abort();
}

}  // namespace pompc::check_internal
