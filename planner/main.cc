#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/rpc/role_main.h"
#include "common/status_macros.h"
#include "planner/app.h"
#include "planner/torch_engine.h"

namespace {

// Where this process runs, for the learner's status.
std::string ProcessName() {
  char host[256] = "?";
  gethostname(host, sizeof(host) - 1);
  return absl::StrCat(host, ":", getpid());
}

}  // namespace

int main(int argc, char** argv) {
  using namespace pompc;
  rpc::RoleMain role({.program = "pompc-planner",
                      .summary = "Serves MPPI plans to actors, with the newest parameters of a "
                                 "learner.",
                      .examples = "Example: pompc-planner --listen 127.0.0.1:7200 --learner "
                                  "127.0.0.1:7000 --device cuda",
                      .listen = "127.0.0.1:7200"});
  std::string learner;
  planner::AppOptions options;
  planner::TorchEngineOptions engine;
  role.flags()
      .add_option("--learner", learner, "Address of the learner, host:port")
      ->envname("POMPC_LEARNER");
  role.flags()
      .add_option("--device", engine.device, "Where to plan: cpu, cuda or cuda:N")
      ->envname("POMPC_DEVICE")
      ->capture_default_str();
  role.flags()
      .add_option("--threads", engine.threads, "CPU threads that plan, 1 to 1024")
      ->envname("POMPC_THREADS")
      ->capture_default_str();
  return role.Run(
      argc, argv, [&](const rpc::RoleContext& context) -> absl::StatusOr<rpc::RunningRole> {
        if (!learner.empty()) {
          POMPC_ASSIGN_OR_RETURN(const auto endpoints, rpc::ParseEndpoints("--learner", learner));
          options.learner = endpoints.front();
        }
        POMPC_ASSIGN_OR_RETURN(options.engine, planner::MakeTorchEngine(engine));
        options.server = {.listen = context.flags.listen, .insecure = context.flags.insecure};
        options.name = ProcessName();
        options.metrics = context.metrics;
        POMPC_ASSIGN_OR_RETURN(auto app, planner::App::Start(std::move(options)));
        return rpc::MakeRunningRole(std::move(app));
      });
}
