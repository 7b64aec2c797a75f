#include <memory>
#include <utility>

#include "actor/app.h"
#include "actor/fleet/fleet.h"
#include "common/base/check.h"
#include "common/rpc/role_main.h"

namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  pompc-actor --learner 127.0.0.1:7000 --planners 127.0.0.1:50052 \\\n"
    "      --replay 127.0.0.1:50061,127.0.0.1:50062 --environments 4\n"
    "  pompc-actor --evaluate --learner 127.0.0.1:7000 --planners 127.0.0.1:50052\n"
    "  pompc-actor --learner learner:7000 --planners planner:7000,@/shared/planners.txt \\\n"
    "      --replay replay-0:7000\n"
    "  pompc-actor --fleet --planners planner:7000 --environments 2\n"
    "The learner sends the run's config, including the task. The process waits for servers that\n"
    "are not available yet, and ends with status 0 when the run is over; with --fleet it goes on\n"
    "with the next run, until it is stopped.";

// An actor has no server of its own, so people and health checks use its metrics address.
template <typename App>
pompc::rpc::RunningRole WithPage(const pompc::rpc::RoleContext& context, std::unique_ptr<App> app) {
  context.http.AddPage("/status",
                       [app = app.get()] { return pompc::HttpPage{.body = app->StatusText()}; });
  return pompc::rpc::MakeRunningRole(std::move(app));
}

}  // namespace

int main(int argc, char** argv) {
  pompc::rpc::RoleMain role(
      {.program = "pompc-actor",
       .summary =
           "Steps environments of a run with plans from its planners and writes the rows to its "
           "replay shards; with --evaluate, plays the run's evaluations.",
       .examples = kExamples,
       .role = pompc::proto::Access::ACTOR});
  pompc::actor::Flags flags;
  pompc::actor::AddFlags(role.flags(), flags);
  return role.Run(
      argc, argv,
      [&](const pompc::rpc::RoleContext& context) -> absl::StatusOr<pompc::rpc::RunningRole> {
        pompc::actor::AppOptions options = flags.options;
        options.metrics = context.metrics;
        options.lookup_interval = absl::Seconds(flags.lookup_seconds);
        POMPC_RETURN_IF_ERROR(options.SetAddresses(flags.learner, flags.planners, flags.replay,
                                                   context.certificates));
        if (flags.fleet) {
          POMPC_ASSIGN_OR_RETURN(
              auto fleet, pompc::actor::Fleet::Start(
                              {.actor = std::move(options), .certificates = context.certificates}));
          return WithPage(context, std::move(fleet));
        }
        POMPC_ASSIGN_OR_RETURN(auto app, pompc::actor::App::Start(std::move(options)));
        return WithPage(context, std::move(app));
      });
}
