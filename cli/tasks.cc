#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "actor/env/recording.h"
#include "actor/env/registry.h"
#include "cli/command.h"
#include "cli/format.h"
#include "common/files.h"
#include "common/status_macros.h"

namespace pompc::cli {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  pompc tasks                                                     lists them\n"
    "  pompc tasks trace cartpole-swingup --like cartpole-swingup.json\n"
    "  pompc tasks probe cartpole-swingup --like reward_probes.json\n"
    "  pompc tasks reset cartpole-swingup --seeds 0,1,2 --episodes 2\n"
    "An agent's decision is held for env.action_repeat control steps. trace, probe and reset "
    "print\n"
    "JSON to compare with numbers from elsewhere; docs/cli.md has the formats.";

struct TasksFlags {
  std::string task;
  std::string like;
  std::vector<uint32_t> seeds = {0};
  int episodes = 1;
};

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

using Computation = absl::StatusOr<std::string> (*)(absl::string_view task,
                                                    absl::string_view recording);

// Prints what `compute` makes of the file flags.like.
absl::Status PrintLike(const TasksFlags& flags, Computation compute) {
  POMPC_ASSIGN_OR_RETURN(const std::string recording, ReadFile(flags.like));
  const absl::StatusOr<std::string> text = compute(flags.task, recording);
  if (!text.ok()) return Annotate(text.status(), absl::StrCat(flags.task, " like ", flags.like));
  std::cout << *text << std::flush;
  return absl::OkStatus();
}

absl::Status PrintStarts(const TasksFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(const std::string text,
                         env::SeededStarts(flags.task, flags.seeds, flags.episodes));
  std::cout << text << std::flush;
  return absl::OkStatus();
}

CLI::App* AddComputation(CLI::App& command, const char* name, const char* summary,
                         TasksFlags* flags) {
  CLI::App* computation = command.add_subcommand(name, summary);
  computation->add_option("task", flags->task, "one of the tasks")->type_name("TASK")->required();
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
  reset->add_option("--seeds", flags->seeds, "of one environment each, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  reset->add_option("--episodes", flags->episodes, "consecutive starts of each environment")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  return reset;
}

}  // namespace

Command AddTasks(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand(
      "tasks", "Lists the tasks: sizes, episode length in control steps, where the model is from.");
  command->footer(kExamples);
  command->require_subcommand(0, 1);
  auto flags = std::make_shared<TasksFlags>();
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
            return PrintTasks();
          }};
}

}  // namespace pompc::cli
