#include <utility>

#include "common/base/check.h"
#include "common/rpc/role_main.h"
#include "planner/app.h"
#include "planner/flags.h"
#include "planner/torch_engine.h"
#include "proto/planner.grpc.pb.h"

namespace pompc::planner {
namespace {

absl::StatusOr<rpc::RunningRole> Start(const Flags& flags, const rpc::RoleContext& context) {
  POMPC_ASSIGN_OR_RETURN(AppOptions options, flags.MakeOptions(context.certificates));
  options.server.listen = context.flags.listen;
  options.server.certificates = context.certificates;
  options.server.insecure = context.flags.insecure;
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
       .summary =
           "Serves MPPI plans to actors, made with the newest parameters of a learner or several.",
       .examples = "Example: pompc-planner --listen 127.0.0.1:50052 --learner 127.0.0.1:7000",
       .listen = "127.0.0.1:50052",
       .health_service = pompc::proto::PlannerService::service_full_name(),
       .role = pompc::proto::Access::PLANNER});
  pompc::planner::Flags flags;
  flags.AddTo(role.flags());
  return role.Run(argc, argv,
                  [&](const auto& context) { return pompc::planner::Start(flags, context); });
}
