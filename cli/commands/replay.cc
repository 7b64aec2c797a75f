// pompc replay: limits of a run that is going on; what its shards hold, and their rows in files.
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "cli/commands/command.h"
#include "cli/commands/replay_limit.h"
#include "cli/replay/inspection.h"
#include "common/base/check.h"

namespace pompc::cli {
namespace {

constexpr char kReplayExamples[] =
    "Examples:\n"
    "  pompc replay limit --learner 127.0.0.1:7000\n"
    "  pompc replay limit --run-dir runs/a --utd 0.5 --slack-rows 500\n"
    "  pompc replay info 127.0.0.1:50061\n"
    "  pompc replay episodes 127.0.0.1:50061,127.0.0.1:50062\n"
    "  pompc replay rows 127.0.0.1:50061 --actor 0 --episode 3 --limit 0 --json\n"
    "  pompc replay export 127.0.0.1:50061 --out rows.safetensors\n"
    "  pompc replay export runs/a --out rows.safetensors\n"
    "  pompc replay import demos.safetensors 127.0.0.1:50061\n"
    "  pompc replay snapshot runs/a --name monday\n"
    "  pompc replay restore runs/a --name monday runs/b\n"
    "docs/datasets.md has the names and shapes of the tensors.";

}  // namespace

Command AddReplay(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand(
      "replay",
      "Shows and changes limits of a run; looks into replay shards; carries their rows "
      "to files and back; makes snapshots of them.");
  command->footer(kReplayExamples);
  command->require_subcommand(1);
  const Command limit = AddReplayLimit(*command);
  const std::vector<ReplayAction> actions = AddInspection(*command);
  return {command, [limit, actions] {
            if (limit.flags->parsed()) return limit.run();
            for (const ReplayAction& action : actions) {
              if (action.flags->parsed()) return action.run();
            }
            POMPC_CHECK(false, "a subcommand is required");
            return absl::OkStatus();
          }};
}

}  // namespace pompc::cli
