#include "common/config/presets.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"

namespace pompc::config {
namespace {

namespace fs = std::filesystem;

constexpr char kExtension[] = ".textproto";

}  // namespace

std::string DefaultPresetsDir() {
  if (const char* dir = std::getenv("POMPC_PRESETS_DIR"); dir != nullptr && *dir != '\0') {
    return dir;
  }
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path installed = (program.parent_path() / "../share/pompc/presets").lexically_normal();
  if (!error && fs::is_directory(installed, error)) return installed.string();
  return POMPC_SOURCE_PRESETS_DIR;
}

absl::StatusOr<std::vector<std::string>> ListPresets(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == kExtension) names.push_back(it->path().stem().string());
  }
  if (error) {
    return absl::NotFoundError(absl::StrCat("presets folder ", dir, ": ", error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::string> FindPreset(const std::string& dir, const std::string& name) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListPresets(dir));
  if (std::find(names.begin(), names.end(), name) != names.end()) {
    return (fs::path(dir) / absl::StrCat(name, kExtension)).string();
  }
  return absl::NotFoundError(absl::StrCat("unknown preset \"", name, "\"; presets in ", dir, ": ",
                                          absl::StrJoin(names, ", ")));
}

}  // namespace pompc::config
