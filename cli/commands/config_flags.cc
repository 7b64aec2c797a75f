#include "cli/commands/config_flags.h"

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/config/task_specs.h"
#include "common/rpc/integer_flag.h"

namespace pompc::cli {

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
  if (!task.empty()) all.overrides.push_back(absl::StrCat("env.task=", task));
  if (seed.has_value()) all.overrides.push_back(absl::StrCat("seed=", *seed));
  POMPC_ASSIGN_OR_RETURN(proto::RunConfig loaded, config::LoadRunConfig(all));
  if (check != nullptr) POMPC_RETURN_IF_ERROR(check(loaded));
  POMPC_RETURN_IF_ERROR(config::FillEnvSpec(&loaded));
  return loaded;
}

}  // namespace pompc::cli
