#ifndef POMPC_CLI_SWEEP_LAYERS_H_
#define POMPC_CLI_SWEEP_LAYERS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/run_config.h"
#include "proto/sweep.pb.h"

namespace pompc::cli {

// A setting while it is put together: its name and what its config is made of.
struct LayeredSetting {
  std::string name;
  // Its files are absolute paths.
  config::RunConfigSources sources;
};

// The settings of a sweep: named settings x axes x random draws, in this order, the last varying
// fastest. Their names are joined by '+'; a sweep without any of them has one, "base".
// INVALID_ARGUMENT naming the setting, axis or draw and what is allowed.
absl::StatusOr<std::vector<LayeredSetting>> MakeSettings(const proto::SweepConfig& sweep);

// The fields that are set in `config`, as assignments "path=value" that pompc train --set takes.
std::vector<std::string> AsAssignments(const proto::RunConfig& config);

// A word as a shell takes it, in quotes where it needs them.
std::string ShellWord(const std::string& word);

// The flags of pompc train that make the sources, as a shell takes them.
std::string FlagsText(const config::RunConfigSources& sources);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_LAYERS_H_
