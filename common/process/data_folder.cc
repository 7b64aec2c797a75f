#include "common/process/data_folder.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace pompc {

namespace fs = std::filesystem;

std::string DataFolder(const char* variable, const std::string& source) {
  if (const char* given = std::getenv(variable); given != nullptr && *given != '\0') return given;
  // An installed program finds its files beside itself, wherever the folder was moved to.
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path installed =
      (program.parent_path() / "../share/pompc" / fs::path(source).filename()).lexically_normal();
  if (!error && fs::is_directory(installed, error)) return installed.string();
  return (fs::path(POMPC_SOURCE_ROOT) / source).string();
}

}  // namespace pompc
