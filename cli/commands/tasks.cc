#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "actor/env/recording.h"
#include "actor/env/registry.h"
#include "cli/commands/command.h"
#include "common/base/check.h"
#include "common/config/task_specs.h"
#include "common/io/files.h"
#include "common/values/numbers.h"
#include "common/values/text_table.h"

namespace pompc::cli {
namespace {

constexpr char kTasksExamples[] =
    "Examples:\n"
    "  pompc tasks                                                     lists them\n"
    "  pompc tasks trace cartpole-swingup --like cartpole-swingup.json\n"
    "  pompc tasks probe cartpole-swingup --like reward_probes.json\n"
    "  pompc tasks reset cartpole-swingup --seeds 0,1,2 --episodes 2\n"
    "  pompc tasks reset dog-walk --assets ~/dm_control/suite\n"
    "An agent's decision is held for env.action_repeat control steps. trace, probe and reset "
    "print\n"
    "JSON to compare with numbers from elsewhere; docs/cli.md has the formats.";

struct TasksFlags {
  std::string assets;
  std::string task;
  std::string like;
  std::string seeds = "0";
  int episodes = 1;
};

// Says where the task's model comes from.
std::string SourceOf(const env::TaskDefinition& task, const std::string& assets) {
  if (task.built_in()) return "built in";
  const bool found = env::FindAssetModel(task.asset, assets).ok();
  return absl::StrCat("asset folder: ", task.asset.file, found ? "" : " is missing");
}

absl::Status PrintTasks(const TasksFlags& flags) {
  TextTable rows = {
      {"task", "observation", "action", "control steps", "step", "ends early", "source"}};
  for (const env::TaskDefinition& task : env::Tasks()) {
    POMPC_ASSIGN_OR_RETURN(const proto::EnvSpec spec, config::MakeEnvSpec(task.name, 1));
    rows.push_back({task.name, absl::StrCat(spec.observation_size()),
                    absl::StrCat(spec.action_size()), absl::StrCat(spec.episode_decisions()),
                    absl::StrCat(task.control_seconds, " s"), spec.terminates() ? "yes" : "no",
                    SourceOf(task, flags.assets)});
  }
  std::cout << FormatTable(rows) << "\nThe asset folder is "
            << (flags.assets.empty() ? env::DefaultAssetFolder() : flags.assets)
            << "\n(--assets, POMPC_ASSETS); scripts/fetch-control-suite.sh fills it." << std::endl;
  return absl::OkStatus();
}

using Computation = absl::StatusOr<std::string> (*)(absl::string_view task,
                                                    absl::string_view recording,
                                                    const std::string& assets);

// Prints what `compute` makes of the file flags.like.
absl::Status PrintLike(const TasksFlags& flags, Computation compute) {
  POMPC_ASSIGN_OR_RETURN(const std::string recording, ReadFile(flags.like));
  const absl::StatusOr<std::string> text = compute(flags.task, recording, flags.assets);
  if (!text.ok()) return Annotate(text.status(), absl::StrCat(flags.task, " like ", flags.like));
  std::cout << *text << std::flush;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint32_t>> ParseSeeds(const std::string& text) {
  std::vector<uint32_t> seeds;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const absl::StatusOr<uint32_t> seed = ParseInteger<uint32_t>(part);
    if (!seed.ok()) return Annotate(seed.status(), "--seeds");
    seeds.push_back(*seed);
  }
  return seeds;
}

absl::Status PrintStarts(const TasksFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<uint32_t> seeds, ParseSeeds(flags.seeds));
  POMPC_ASSIGN_OR_RETURN(const std::string text,
                         env::SeededStarts(flags.task, seeds, flags.episodes, flags.assets));
  std::cout << text << std::flush;
  return absl::OkStatus();
}

CLI::App* AddComputation(CLI::App& command, const char* name, const char* summary,
                         TasksFlags* flags) {
  CLI::App* computation = command.add_subcommand(name, summary);
  computation->add_option("task", flags->task, "one of the tasks")->type_name("TASK")->required();
  // --assets may stand behind the computation's name.
  computation->fallthrough();
  return computation;
}

CLI::App* AddLike(CLI::App& command, const char* name, const char* summary, TasksFlags* flags) {
  CLI::App* computation = AddComputation(command, name, summary, flags);
  computation->add_option("--like", flags->like, "a recording of numbers to compare with")
      ->type_name("FILE.json")
      ->required();
  return computation;
}

CLI::App* AddReset(CLI::App& command, TasksFlags* flags) {
  CLI::App* reset = AddComputation(
      command, "reset", "Prints the states in which the episodes of seeded environments start.",
      flags);
  reset
      ->add_option("--seeds", flags->seeds,
                   "seeds of the environments, separated by commas; 0 to 4294967295")
      ->type_name("N,N,...")
      ->capture_default_str();
  rpc::AddInteger(*reset,
                  {"--episodes", "consecutive starts of each environment", 1, 1'000'000},
                  &flags->episodes);
  return reset;
}

}  // namespace

Command AddTasks(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand(
      "tasks", "Lists the tasks: sizes, episode length in control steps, where the model is from.");
  command->footer(kTasksExamples);
  command->require_subcommand(0, 1);
  auto flags = std::make_shared<TasksFlags>();
  AddAssets(*command, &flags->assets);
  const CLI::App* trace = AddLike(
      *command, "trace", "Prints the trajectory from a recording's first state under its actions.",
      flags.get());
  const CLI::App* probe = AddLike(
      *command, "probe", "Prints observation and reward of a recording's states.", flags.get());
  const CLI::App* reset = AddReset(*command, flags.get());
  return {command, [flags, trace, probe, reset] {
            if (trace->parsed()) return PrintLike(*flags, env::TraceLike);
            if (probe->parsed()) return PrintLike(*flags, env::ProbeLike);
            if (reset->parsed()) return PrintStarts(*flags);
            return PrintTasks(*flags);
          }};
}

}  // namespace pompc::cli
