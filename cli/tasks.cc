#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "actor/env/registry.h"
#include "cli/command.h"
#include "cli/format.h"
#include "common/status_macros.h"

namespace pompc::cli {
namespace {

absl::Status PrintTasks() {
  std::vector<std::vector<std::string>> rows = {
      {"task", "observation", "action", "control steps", "step", "ends early", "source"}};
  for (const std::string& task : env::ListTasks()) {
    POMPC_ASSIGN_OR_RETURN(const auto environment, env::MakeEnvironment(task, 0));
    const env::EnvironmentSpec& spec = environment->spec();
    rows.push_back({task, absl::StrCat(spec.observation_size), absl::StrCat(spec.action_size),
                    absl::StrCat(spec.episode_steps), absl::StrCat(spec.step_seconds, " s"),
                    spec.terminates ? "yes" : "no", "built in"});
  }
  std::cout << FormatTable(rows);
  return absl::OkStatus();
}

}  // namespace

Command AddTasks(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand(
      "tasks", "Lists the tasks: sizes, episode length in control steps, where the model is from.");
  command->footer("An agent's decision is held for env.action_repeat control steps.");
  return {command, PrintTasks};
}

}  // namespace pompc::cli
