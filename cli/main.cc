#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "cli/commands/command.h"
#include "common/io/descriptors.h"
#include "common/process/program.h"
#include "common/process/version.h"

namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  pompc train --preset quickstart                 learn to swing up a cart-pole\n"
    "  pompc train --run-dir runs/a                    go on with the run in runs/a\n"
    "  pompc evaluate --run-dir runs/a --episodes 10   how good its best policy is\n"
    "  pompc plot --run-dir runs/a                     draw its learning curve\n"
    "  pompc status --learner 127.0.0.1:7000           a run of separate processes\n"
    "`pompc COMMAND --help` tells more about each.";

// The exit status for what `who` came to; an error is told.
int Exit(const std::string& who, const absl::Status& status) {
  if (status.ok()) return 0;
  std::cerr << who << ": " << std::string(status.message()) << std::endl;
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

int Run(int argc, char** argv) {
  CLI::App pompc("Trains, evaluates and looks after runs of PO-MPC.", "pompc");
  pompc.set_version_flag("--version", pompc::Version());
  pompc.footer(kExamples);
  pompc.require_subcommand(1);
  const std::vector<pompc::cli::Command> commands = {
      pompc::cli::AddTrain(pompc), pompc::cli::AddEvaluate(pompc), pompc::cli::AddStatus(pompc),
      pompc::cli::AddStop(pompc),  pompc::cli::AddPlot(pompc),     pompc::cli::AddCheckpoint(pompc),
      pompc::cli::AddModel(pompc), pompc::cli::AddConfig(pompc),   pompc::cli::AddTasks(pompc)};
  try {
    pompc.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version are no errors.
    return pompc.exit(error) != 0 ? 2 : Exit("pompc", pompc::FlushStandardOutput());
  }
  for (const pompc::cli::Command& command : commands) {
    if (!command.flags->parsed()) continue;
    pompc::RaiseDescriptorLimit();
    absl::Status status = command.run();
    if (status.ok() && command.needs_output) status = pompc::FlushStandardOutput();
    return Exit("pompc " + command.flags->get_name(), status);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return pompc::RunProgram("pompc", [argc, argv] { return Run(argc, argv); });
}
