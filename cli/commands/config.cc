#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "cli/commands/command.h"
#include "common/base/check.h"
#include "common/config/run_config.h"

namespace pompc::cli {

Command AddConfig(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand(
      "config", "Prints the complete run config that the flags make, defaults included.");
  command->footer(
      "Examples:\n"
      "  pompc config --preset quickstart --set learner.utd=1 > run.textproto\n"
      "  pompc-learner --config run.textproto ...");
  auto flags = std::make_shared<ConfigFlags>();
  flags->AddTo(*command);
  return {command, [flags]() -> absl::Status {
            POMPC_ASSIGN_OR_RETURN(const proto::RunConfig loaded, flags->Load());
            std::cout << config::ToText(loaded);
            return absl::OkStatus();
          }};
}

}  // namespace pompc::cli
