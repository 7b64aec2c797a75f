#ifndef POMPC_CLI_COMMANDS_COMMAND_H_
#define POMPC_CLI_COMMANDS_COMMAND_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/run_config.h"
#include "common/rpc/integer_flag.h"
#include "proto/config.pb.h"

namespace pompc::cli {

// One subcommand of pompc: its flags, and what it does once they are parsed. The function AddName
// of NAME.cc makes it, and cli/CMakeLists.txt lists the names. An error is shown as one line;
// INVALID_ARGUMENT exits with status 2, any other with 1.
struct Command {
  CLI::App* flags = nullptr;
  std::function<absl::Status()> run;
  // True if the command fails when its output cannot be written; a command that is run for
  // something else says false.
  bool needs_output = true;
};

// Parses the command line, runs the command that it names and returns the exit status.
int RunPompc(int argc, char** argv);

// Flags that several commands have. Those that take a whole number are added with rpc::AddInteger.

// Adds --assets, the folder of the models that are not built in.
void AddAssets(CLI::App& command, std::string* folder);

// The flags that make a run config: --preset, --config, --set, --task, --seed.
struct ConfigFlags {
  config::RunConfigSources sources;
  std::string task;
  std::optional<uint64_t> seed;

  void AddTo(CLI::App& command);
  // True if a preset or a file was given.
  bool HasBase() const { return !sources.presets.empty() || !sources.files.empty(); }
  // The config that the flags make, resolved, with the sizes of the task's environment. Errors as
  // config::LoadRunConfig; NOT_FOUND listing the tasks. `check`, if given, sees the config before
  // these sizes are filled in or compared, and its error is returned.
  using Check = std::function<absl::Status(const proto::RunConfig&)>;
  absl::StatusOr<proto::RunConfig> Load(const Check& check = nullptr) const;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_COMMANDS_COMMAND_H_
