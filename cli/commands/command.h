#ifndef POMPC_CLI_COMMANDS_COMMAND_H_
#define POMPC_CLI_COMMANDS_COMMAND_H_

#include <functional>

#include "absl/status/status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace pompc::cli {

// One subcommand of pompc: its flags, and what it does once they are parsed. An error is shown as
// one line; INVALID_ARGUMENT exits with status 2, any other with 1.
struct Command {
  CLI::App* flags = nullptr;
  std::function<absl::Status()> run;
  // Fails if what it prints does not arrive; a command that is not run for its output says false.
  bool needs_output = true;
};

// Each adds its subcommand to `pompc`, in a file of its name.
Command AddCheckpoint(CLI::App& pompc);
Command AddConfig(CLI::App& pompc);
Command AddEvaluate(CLI::App& pompc);
Command AddModel(CLI::App& pompc);
Command AddPlot(CLI::App& pompc);
Command AddStatus(CLI::App& pompc);
Command AddStop(CLI::App& pompc);
Command AddTasks(CLI::App& pompc);
Command AddTrain(CLI::App& pompc);

}  // namespace pompc::cli

#endif  // POMPC_CLI_COMMANDS_COMMAND_H_
