// A role that does nothing, for the tests of what all roles' programs share.

#include <cstdint>
#include <vector>

#include "CLI/CLI.hpp"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/rpc/integer_flag.h"
#include "common/rpc/role_main.h"
#include "common/rpc/server.h"

namespace {

struct App {
  std::unique_ptr<pompc::rpc::Server> server;
  pompc::Event stopped;
  // Stays in Stop() for ever, as a drain that hangs.
  bool hang = false;

  void Stop() {
    server->Shutdown(absl::ZeroDuration());
    if (hang) pompc::Event().Wait();
    stopped.Set();
  }
  void Wait() { stopped.Wait(); }
  absl::Status Health() const { return server->Health(); }
};

}  // namespace

int main(int argc, char** argv) {
  pompc::rpc::RoleMain role({.program = "sample-role",
                             .summary = "Does nothing.",
                             .examples = "Example:\n  sample-role --listen 127.0.0.1:0",
                             .listen = "127.0.0.1:0",
                             .health_service = "sample"});
  bool hang = false;
  std::string serves_as = "sample";
  int threads = 1;
  uint64_t seed = 1;
  pompc::rpc::AddInteger(role.flags(), {"--threads", "Idle threads", 1, 256, "POMPC_THREADS"},
                         &threads);
  pompc::rpc::AddInteger(role.flags(), {"--seed", "Of nothing"}, &seed);
  role.flags().add_option("--serves-as", serves_as, "Name that health checks are answered for");
  role.flags().add_flag("--hang", hang, "Never finish stopping");
  return role.Run(
      argc, argv,
      [&](const pompc::rpc::RoleContext& context) -> absl::StatusOr<pompc::rpc::RunningRole> {
        // Like a role's own threads, they wait for something that comes after them.
        std::vector<pompc::Thread> idle;
        pompc::Event started;
        for (int i = 1; i < threads; ++i) idle.emplace_back("idle", [&] { started.Wait(); });
        started.Set();
        auto app = std::make_unique<App>();
        app->hang = hang;
        POMPC_ASSIGN_OR_RETURN(app->server,
                               pompc::rpc::Server::Start({.listen = context.flags.listen,
                                                          .certificates = context.certificates,
                                                          .insecure = context.flags.insecure,
                                                          .health_service = serves_as},
                                                         {}));
        context.http.AddPage(
            "/address", [text = app->server->address()] { return pompc::HttpPage{.body = text}; });
        return pompc::rpc::MakeRunningRole(std::move(app));
      });
}
