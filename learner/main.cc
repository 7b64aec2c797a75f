#include "common/rpc/role_main.h"
#include "learner/role.h"

int main(int argc, char** argv) {
  pompc::rpc::RoleMain role(
      {.program = "pompc-learner",
       .summary = "Trains one run and is its control plane. A run in the run directory is "
                  "resumed.",
       .examples = "Example: pompc-learner --preset quickstart --run-dir runs/one --replay "
                   "127.0.0.1:7100,127.0.0.1:7101",
       .listen = "127.0.0.1:7000",
       .health_service = pompc::learner::kHealthService,
       .role = pompc::proto::Access::LEARNER});
  pompc::learner::Flags flags;
  pompc::learner::AddFlags(role.flags(), flags);
  return role.Run(argc, argv,
                  [&](const auto& context) { return pompc::learner::StartRole(flags, context); });
}
