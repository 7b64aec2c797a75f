#include "common/io/disk_space.h"

#include <sys/statvfs.h>

#include <limits>

namespace pompc {

DiskSpace DiskSpaceOf(const std::string& folder) {
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  struct statvfs system {};
  if (folder.empty() || statvfs(folder.c_str(), &system) != 0) return {kUnknown, kUnknown};
  const auto block = static_cast<double>(system.f_frsize);
  return {block * static_cast<double>(system.f_bavail),
          block * static_cast<double>(system.f_blocks)};
}

}  // namespace pompc
