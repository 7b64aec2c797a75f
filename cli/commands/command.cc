#include "cli/commands/command.h"

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/list.h"
#include "common/base/check.h"
#include "common/config/task_specs.h"
#include "common/io/descriptors.h"
#include "common/process/log.h"
#include "common/process/program.h"

namespace pompc::cli {

// Each adds its command to `pompc`. It is defined in the file of the command's name.
#define POMPC_DECLARE_COMMAND(Name) Command Add##Name(CLI::App& pompc);
POMPC_COMMANDS(POMPC_DECLARE_COMMAND)
#undef POMPC_DECLARE_COMMAND

namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  pompc train --preset quickstart                 learn to swing up a cart-pole\n"
    "  pompc train --run-dir runs/a                    resume the run in runs/a\n"
    "  pompc evaluate --run-dir runs/a --episodes 10   how good its best policy is\n"
    "  pompc plot --run-dir runs/a                     draw its learning curve\n"
    "  pompc status --learner 127.0.0.1:7000           a run of separate processes\n"
    "`pompc COMMAND --help` describes each.\n"
    "Exit status: 0 on success, 2 for flags and values that are refused, 1 for any other error.";

// On one line, whatever the names of files and settings in it hold. Bytes that are not text stay: a
// terminal shows them as `ls` does.
std::string OneLine(absl::string_view message) {
  std::string line(message);
  std::replace_if(line.begin(), line.end(), absl::ascii_iscntrl, ' ');
  return line;
}

// What is wrong with the command line, in one line and a hint. CLI11 alone would answer an unknown
// command with "A subcommand is required".
std::string Failure(const CLI::App* app, const CLI::Error& error) {
  // The innermost command that was given is the one to which the error belongs.
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  std::string problem = error.what();
  if (error.get_name() == "RequiredError" && app->get_require_subcommand_min() > 0) {
    const std::vector<std::string> rest = app->remaining();
    problem = rest.empty()
                  ? "no command is given"
                  : absl::StrCat("unknown ", absl::StartsWith(rest[0], "-") ? "flag" : "command",
                                 " \"", OneLine(rest[0]), "\"");
    absl::StrAppend(&problem, "; ", app->get_name(), " has the commands ",
                    absl::StrJoin(app->get_subcommands([](const CLI::App*) { return true; }), ", ",
                                  [](std::string* out, const CLI::App* command) {
                                    out->append(command->get_name());
                                  }));
  }
  return absl::StrCat(problem, "\nRun with --help for more information.\n");
}

// Prints an error, if there is one, and returns the exit status.
int Exit(const std::string& who, const absl::Status& status) {
  if (status.ok()) return 0;
  LogFailure(who, OneLine(status.message()));
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

}  // namespace

int RunPompc(int argc, char** argv) {
  CLI::App pompc("Trains, evaluates and looks after runs of PO-MPC.", "pompc");
  pompc.set_version_flag("--version", Version());
  pompc.footer(kExamples);
  pompc.require_subcommand(1);
  pompc.failure_message(Failure);
#define POMPC_ADD_COMMAND(Name) Add##Name(pompc),
  const std::vector<Command> commands = {POMPC_COMMANDS(POMPC_ADD_COMMAND)};
#undef POMPC_ADD_COMMAND
  try {
    pompc.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // The help and the version arrive here as well; they are no errors, unless they cannot be
    // written.
    return pompc.exit(error) != 0 ? 2 : Exit("pompc", FlushStandardOutput());
  }
  // Parsing has only filled in flags. Exactly one command was parsed, and it runs now.
  for (const Command& command : commands) {
    POMPC_CHECK(command.flags != nullptr && command.run != nullptr);
    if (!command.flags->parsed()) continue;
    RaiseDescriptorLimit();
    absl::Status status = command.run();
    if (status.ok() && command.needs_output) status = FlushStandardOutput();
    return Exit("pompc " + command.flags->get_name(), status);
  }
  return 0;
}

void AddAssets(CLI::App& command, std::string* folder) {
  command
      .add_option("--assets", *folder,
                  "folder of the models that are not built in; default: where "
                  "scripts/fetch-control-suite.sh puts them")
      ->envname("POMPC_ASSETS")
      ->type_name("DIR");
}

void ConfigFlags::AddTo(CLI::App& command) {
  command
      .add_option("--preset", sources.presets, "name of a preset, see presets/; may be repeated")
      ->type_name("NAME");
  command
      .add_option("--config", sources.files,
                  "file with a run config in protobuf text format; may be repeated")
      ->type_name("FILE");
  command
      .add_option("--set", sources.overrides,
                  "one field of the config, as in --set learner.batch_size=64; may be repeated")
      ->type_name("FIELD=VALUE");
  command.add_option("--task", task, "short for --set env.task=NAME; `pompc tasks` lists them")
      ->type_name("NAME");
  rpc::AddInteger(command, {"--seed", "short for --set seed=N"}, &seed);
}

absl::StatusOr<proto::RunConfig> ConfigFlags::Load(const Check& check) const {
  config::RunConfigSources all = sources;
  // Behind --set, so that the short flags win over it wherever they stand on the command line.
  if (!task.empty()) all.overrides.push_back(absl::StrCat("env.task=", task));
  if (seed.has_value()) all.overrides.push_back(absl::StrCat("seed=", *seed));
  POMPC_ASSIGN_OR_RETURN(proto::RunConfig loaded, config::LoadRunConfig(all));
  if (check != nullptr) POMPC_RETURN_IF_ERROR(check(loaded));
  POMPC_RETURN_IF_ERROR(config::FillEnvSpec(&loaded));
  return loaded;
}

}  // namespace pompc::cli
