#ifndef POMPC_COMMON_CONFIG_PRESETS_H_
#define POMPC_COMMON_CONFIG_PRESETS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace pompc::config {

// Where presets are when nobody says: $POMPC_PRESETS_DIR, else ../share/pompc/presets next to the
// program's folder if it exists, else presets/ of the source tree the program was built from.
std::string DefaultPresetsDir();

// Names of the presets in `dir`, sorted. NOT_FOUND if there is no such folder.
absl::StatusOr<std::vector<std::string>> ListPresets(const std::string& dir);

// Path of the file of preset `name`. NOT_FOUND listing the presets there are.
absl::StatusOr<std::string> FindPreset(const std::string& dir, const std::string& name);

}  // namespace pompc::config

#endif  // POMPC_COMMON_CONFIG_PRESETS_H_
