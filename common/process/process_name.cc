#include "common/process/process_name.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/values/utf8.h"

namespace pompc {

std::string ProcessName() {
  char host[256] = "localhost";
  gethostname(host, sizeof(host) - 1);
  return absl::StrCat(ToUtf8(host), ":", getpid());
}

}  // namespace pompc
