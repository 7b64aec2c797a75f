#ifndef POMPC_CLI_COMMANDS_CONFIG_FLAGS_H_
#define POMPC_CLI_COMMANDS_CONFIG_FLAGS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/run_config.h"
#include "proto/config.pb.h"

namespace CLI {
class App;
}  // namespace CLI

namespace pompc::cli {

// The flags that make a run config: --preset, --config, --set, --task, --seed.
struct ConfigFlags {
  config::RunConfigSources sources;
  std::string task;
  std::optional<uint64_t> seed;

  void AddTo(CLI::App& command);
  // Whether a preset or a file was given.
  bool HasBase() const { return !sources.presets.empty() || !sources.files.empty(); }
  // The config they make, resolved, with the sizes of the task's environment. Errors as
  // config::LoadRunConfig, NOT_FOUND naming the tasks there are. `check`, if given, sees the config
  // before these sizes are filled in or compared, and its error is returned.
  using Check = std::function<absl::Status(const proto::RunConfig&)>;
  absl::StatusOr<proto::RunConfig> Load(const Check& check = nullptr) const;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_COMMANDS_CONFIG_FLAGS_H_
