#ifndef POMPC_COMMON_RPC_ROLE_MAIN_H_
#define POMPC_COMMON_RPC_ROLE_MAIN_H_

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/metrics/http_server.h"
#include "common/metrics/metrics.h"
#include "common/rpc/certificates.h"

namespace CLI {
class App;
}  // namespace CLI

namespace pompc::rpc {

// What the help of a role's program says, and its defaults.
struct RoleDescription {
  // "pompc-replay".
  std::string program;
  // One or two sentences.
  std::string summary;
  // Lines shown under the flags: how the program is used, by example.
  std::string examples;
  // Default of --listen; empty: the role serves no RPCs and has no such flag.
  std::string listen;
  // The name for which --healthcheck asks: one that servers of this role alone answer for, such as
  // their gRPC service's. Empty: whatever serves there will do.
  std::string health_service;
  // The role that the certificate of --certificates must have; ROLE_UNSPECIFIED: any.
  Role role = proto::Access::ROLE_UNSPECIFIED;
  // Default of --metrics-listen.
  std::string metrics_listen = "127.0.0.1:0";
};

// The flags all roles share. Each can also be given in the environment, as POMPC_LISTEN and so on.
struct RoleFlags {
  std::string listen;
  std::string metrics_listen;
  std::string metrics_token_file;
  std::string certificates;
  bool insecure = false;
  std::string log_level = "info";
  std::string log_format = "text";
  bool healthcheck = false;
};

// What the process gives to its role.
struct RoleContext {
  const RoleFlags& flags;
  std::shared_ptr<MetricsRegistry> metrics;
  HttpServer& http;
  // Those of --certificates; null: plaintext.
  std::shared_ptr<const Certificates> certificates;
};

// A role that was started, as the process sees it.
struct RunningRole {
  // Ends the role in an orderly way, within a bound. Called once, possibly while `wait` blocks.
  std::function<void()> stop;
  // Blocks until the role has ended by itself or was stopped; an error makes the process fail.
  std::function<absl::Status()> wait;
  // For /healthz; empty: healthy while it runs.
  std::function<absl::Status()> health;
};

// A RunningRole that owns `app`: anything with Stop(), Wait() (void or absl::Status) and, if it
// likes, Health().
template <typename App>
RunningRole MakeRunningRole(std::unique_ptr<App> owned) {
  std::shared_ptr<App> app = std::move(owned);
  RunningRole role;
  role.stop = [app] { app->Stop(); };
  role.wait = [app] {
    if constexpr (std::is_void_v<decltype(app->Wait())>) {
      app->Wait();
      return absl::OkStatus();
    } else {
      return app->Wait();
    }
  };
  if constexpr (requires { app->Health(); }) {
    role.health = [app] { return app->Health(); };
  }
  return role;
}

// Everything a role's main has in common with the others: flags, logging, signals, HTTP pages,
// health check. One for each process; used from main alone.
//
//   int main(int argc, char** argv) {
//     rpc::RoleMain role({.program = "pompc-replay", ...});
//     replay::AppOptions options;
//     role.flags().add_option("--...", options...., "what it is")->envname("POMPC_...");
//     return role.Run(argc, argv, [&](const rpc::RoleContext& context)
//                                     -> absl::StatusOr<rpc::RunningRole> {
//       options.listen = context.flags.listen;
//       POMPC_ASSIGN_OR_RETURN(auto app, replay::App::Start(options));
//       return rpc::MakeRunningRole(std::move(app));
//     });
//   }
class RoleMain {
 public:
  explicit RoleMain(RoleDescription description);
  ~RoleMain();

  // To add the role's own flags to, before Run().
  CLI::App& flags();

  // Parses the flags, starts the role, and blocks until it ends by itself or one of SignalHandler's
  // signals asked it to stop and it has. Returns the process's exit status: 0; 1 with one line on
  // standard error when the role failed (or --healthcheck found it unhealthy); 2 for bad flags.
  int Run(int argc, char** argv,
          const std::function<absl::StatusOr<RunningRole>(const RoleContext&)>& start);

 private:
  int RunProcess(int argc, char** argv,
                 const std::function<absl::StatusOr<RunningRole>(const RoleContext&)>& start);
  absl::Status RunRole(const std::function<absl::StatusOr<RunningRole>(const RoleContext&)>& start);

  const RoleDescription description_;
  RoleFlags values_;
  const std::unique_ptr<CLI::App> flags_;
};

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_ROLE_MAIN_H_
