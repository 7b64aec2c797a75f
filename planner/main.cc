#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "common/base/check.h"
#include "common/rpc/integer_flag.h"
#include "common/rpc/role_main.h"
#include "planner/app.h"
#include "planner/torch_engine.h"
#include "proto/planner.grpc.pb.h"

namespace pompc::planner {
namespace {

struct Flags {
  std::string learner;
  TorchEngineOptions engine;
};

void AddFlags(CLI::App& app, Flags& flags) {
  app.add_option("--learner", flags.learner, "Address of the learner, host:port")
      ->envname("POMPC_LEARNER");
  app.add_option("--device", flags.engine.device, "Where to plan: cpu, cuda or cuda:N")
      ->envname("POMPC_DEVICE")
      ->capture_default_str();
  rpc::AddInteger(app, {"--threads", "threads that plan, 0: one a core", 0, 1024, "POMPC_THREADS"},
                  &flags.engine.threads);
}

absl::StatusOr<rpc::RunningRole> Start(const Flags& flags, const rpc::RoleContext& context) {
  AppOptions options;
  // Not a required flag for the parser, since --healthcheck does without.
  if (!flags.learner.empty()) {
    POMPC_ASSIGN_OR_RETURN(const auto learners, rpc::ParseEndpoints("--learner", flags.learner));
    options.learner = learners.front();
  }
  options.server = {.listen = context.flags.listen, .insecure = context.flags.insecure};
  // Actors look the planners' names up again at least this often, and find those that were added.
  options.server.max_connection_age = absl::Minutes(5);
  options.metrics = context.metrics;
  POMPC_ASSIGN_OR_RETURN(options.engine, MakeTorchEngine(flags.engine));
  POMPC_ASSIGN_OR_RETURN(auto app, App::Start(std::move(options)));
  return rpc::MakeRunningRole(std::move(app));
}

}  // namespace
}  // namespace pompc::planner

int main(int argc, char** argv) {
  pompc::rpc::RoleMain role(
      {.program = "pompc-planner",
       .summary = "Serves MPPI plans to actors, made with the newest parameters of a learner.",
       .examples = "Example: pompc-planner --listen 127.0.0.1:50052 --learner 127.0.0.1:7000",
       .listen = "127.0.0.1:50052",
       .health_service = pompc::proto::PlannerService::service_full_name()});
  pompc::planner::Flags flags;
  AddFlags(role.flags(), flags);
  return role.Run(argc, argv, [&](const auto& context) { return Start(flags, context); });
}
