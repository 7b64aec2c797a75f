#include <string>

#include "CLI/CLI.hpp"
#include "actor/app.h"
#include "common/rpc/role_main.h"
#include "common/status_macros.h"

namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  pompc-actor --learner 127.0.0.1:7000 --planners 127.0.0.1:50052 \\\n"
    "      --replay 127.0.0.1:50061,127.0.0.1:50062 --environments 4\n"
    "  pompc-actor --evaluate --learner 127.0.0.1:7000 --planners 127.0.0.1:50052\n"
    "The learner hands out the run's config, the task included. Servers that are not there yet\n"
    "are waited for; the process ends with status 0 when the run is over.";

}  // namespace

int main(int argc, char** argv) {
  pompc::rpc::RoleMain role(
      {.program = "pompc-actor",
       .summary = "Steps the environments of a run with plans from its planners and writes what "
                  "happens to its replay shards; with --evaluate plays the run's evaluations.",
       .examples = kExamples});
  pompc::actor::AppOptions options;
  std::string learner, planners, replay;
  CLI::App& flags = role.flags();
  flags.add_option("--learner", learner, "host:port of the learner")->envname("POMPC_LEARNER");
  flags.add_option("--planners", planners, "host:port of each planner, separated by commas")
      ->envname("POMPC_PLANNERS");
  flags.add_option("--replay", replay, "host:port of each shard, in the run's order")
      ->envname("POMPC_REPLAY");
  flags
      .add_option("--environments", options.environments,
                  "environments to step, 0: as the run's config says; with --evaluate: episodes "
                  "played at a time, 0: 8")
      ->envname("POMPC_ENVIRONMENTS");
  flags.add_option("--threads", options.threads, "threads to step them on")
      ->envname("POMPC_THREADS");
  flags.add_flag("--evaluate", options.evaluate, "play evaluations instead of collecting rows")
      ->envname("POMPC_EVALUATE");
  flags
      .add_option("--assets", options.assets,
                  "folder of the models that are not built in; default: where "
                  "scripts/fetch-control-suite.sh puts them")
      ->envname("POMPC_ASSETS");
  flags.add_option("--name", options.name, "name in the learner's status, default host:pid")
      ->envname("POMPC_NAME");
  return role.Run(
      argc, argv,
      [&](const pompc::rpc::RoleContext& context) -> absl::StatusOr<pompc::rpc::RunningRole> {
        options.metrics = context.metrics;
        POMPC_RETURN_IF_ERROR(options.SetAddresses(learner, planners, replay));
        POMPC_ASSIGN_OR_RETURN(auto app, pompc::actor::App::Start(options));
        context.http.AddPage(
            "/status", [app = app.get()] { return pompc::HttpPage{.body = app->StatusText()}; });
        return pompc::rpc::MakeRunningRole(std::move(app));
      });
}
