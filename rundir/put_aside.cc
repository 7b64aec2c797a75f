#include "rundir/put_aside.h"

#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/io/files.h"

namespace pompc::rundir {

absl::StatusOr<std::string> PutAside(const std::string& path) {
  constexpr int kMostNames = 1000;
  for (int i = 1; i <= kMostNames; ++i) {
    std::string name = absl::StrCat(path, ".old");
    if (i > 1) absl::StrAppend(&name, "-", i);
    std::error_code error;
    const std::filesystem::file_status found = std::filesystem::symlink_status(name, error);
    if (std::filesystem::exists(found)) continue;
    POMPC_RETURN_IF_ERROR(Rename(path, name));
    return name;
  }
  return absl::AlreadyExistsError(absl::StrCat(path, " cannot be put aside: ", path,
                                               ".old exists, and so does every name up to ", path,
                                               ".old-", kMostNames));
}

}  // namespace pompc::rundir
