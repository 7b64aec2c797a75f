#include "learner/role.h"

#include <memory>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/config/task_specs.h"
#include "common/io/listener.h"
#include "common/process/log.h"
#include "common/rpc/integer_flag.h"
#include "common/rpc/server.h"
#include "learner/app.h"
#include "learner/follower.h"
#include "learner/status_pages.h"

namespace pompc::learner {
namespace {

// Flags are checked against one another before anything is opened. Exchanges between ranks are not
// encrypted: beyond this machine they need --insecure, as --listen does.
absl::Status CheckRanks(const Flags& flags, bool insecure) {
  const TorchEngineOptions& engine = flags.engine;
  if (engine.rank >= engine.world_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rank: ", engine.rank, "; allowed with --world-size ", engine.world_size,
                     ": 0 to ", engine.world_size - 1));
  }
  if (engine.world_size == 1) return absl::OkStatus();
  return Annotate(
      CheckListenAddress(ListenAddress{engine.host, 0}.ToString(), insecure,
                         "what ranks exchange is not encrypted, with --certificates neither: give "
                         "--insecure on a network of their own")
          .status(),
      "--rank-host");
}

rpc::ServerOptions ServerOptions(const rpc::RoleContext& context) {
  return {.listen = context.flags.listen,
          .certificates = context.certificates,
          .insecure = context.flags.insecure,
          .health_service = kHealthService};
}

// Rank 0. The engine is made before the run directory is touched: a device that is not there must
// not leave a folder behind.
absl::StatusOr<rpc::RunningRole> StartLeader(const Flags& flags, const rpc::RoleContext& context) {
  AppOptions options;
  options.run_dir = flags.run_dir;
  POMPC_ASSIGN_OR_RETURN(options.config, config::LoadRunConfig(flags.sources));
  POMPC_RETURN_IF_ERROR(config::FillEnvSpec(&options.config));
  POMPC_ASSIGN_OR_RETURN(
      options.replay,
      rpc::ParseEndpoints("--replay", flags.replay, {context.certificates, proto::Access::REPLAY}));
  POMPC_ASSIGN_OR_RETURN(options.engine, MakeTorchEngine(options.config, flags.engine));
  options.world_size = flags.engine.world_size;
  options.server = ServerOptions(context);
  // Actors of an earlier learner may still be alive. Their indices are kept for them for as long as
  // they need to notice and register again.
  options.lease.await_former = options.lease.duration;
  options.metrics = context.metrics;
  options.expected_actors = flags.expected_actors;
  POMPC_ASSIGN_OR_RETURN(std::shared_ptr<App> app, App::Start(std::move(options)));
  // The HTTP server outlives the app.
  AddStatusPages(context.http, [weak = std::weak_ptr<App>(app)] { return weak.lock(); });
  Log().info("status page on http://{}/status", context.http.address());
  return rpc::RunningRole{[app] { app->Stop(); }, [app] { return app->Wait(); },
                          [app] { return app->Health(); }};
}

absl::StatusOr<rpc::RunningRole> StartFollower(const Flags& flags,
                                               const rpc::RoleContext& context) {
  const config::RunConfigSources& sources = flags.sources;
  if (!flags.run_dir.empty() || !sources.presets.empty() || !sources.files.empty() ||
      !sources.overrides.empty()) {
    return absl::InvalidArgumentError(
        "--run-dir, --preset, --config, --set: with --rank above 0 they come from rank 0; give "
        "none of them");
  }
  FollowerOptions options;
  options.rank = flags.engine.rank;
  options.world_size = flags.engine.world_size;
  if (!flags.rendezvous.empty()) {
    POMPC_ASSIGN_OR_RETURN(const auto leaders,
                           rpc::ParseEndpoints("--rendezvous", flags.rendezvous,
                                               {context.certificates, proto::Access::LEARNER}));
    options.leader = leaders.front();
  }
  POMPC_ASSIGN_OR_RETURN(
      options.replay,
      rpc::ParseEndpoints("--replay", flags.replay, {context.certificates, proto::Access::REPLAY}));
  options.make_engine = [engine = flags.engine](const proto::RunConfig& config) {
    return MakeTorchEngine(config, engine);
  };
  options.server = ServerOptions(context);
  options.metrics = context.metrics;
  POMPC_ASSIGN_OR_RETURN(auto follower, Follower::Start(std::move(options)));
  return rpc::MakeRunningRole(std::move(follower));
}

}  // namespace

void AddFlags(CLI::App& app, Flags& flags) {
  TorchEngineOptions& engine = flags.engine;
  app.add_option("--run-dir", flags.run_dir, "Folder of the run's files")->envname("POMPC_RUN_DIR");
  app.add_option("--replay", flags.replay,
                 "Replay shards, host:port,host:port, in the same order every time")
      ->envname("POMPC_REPLAY");
  rpc::AddInteger(app,
                  {"--expected-actors",
                   "Actors that should take part: with fewer, the alert ActorsMissing fires", 1,
                   1'000'000, "POMPC_EXPECTED_ACTORS"},
                  &flags.expected_actors);
  app.add_option("--preset", flags.sources.presets, "Named settings (a preset)")
      ->envname("POMPC_PRESET");
  app.add_option("--config", flags.sources.files, "Settings from a file in protobuf text format");
  app.add_option("--set", flags.sources.overrides, "One setting, path.to.field=value");
  app.add_option("--device", engine.device, "Where to train: cpu, cuda or cuda:N")
      ->envname("POMPC_DEVICE")
      ->capture_default_str();
  rpc::AddInteger(app,
                  {"--threads", "Number of CPU threads of one operation", 1, 1024, "POMPC_THREADS"},
                  &engine.threads);
  rpc::AddInteger(app,
                  {"--world-size",
                   "Number of learner processes that make each update together, each from its part "
                   "of the batch",
                   1, kMaxRanks, "POMPC_WORLD_SIZE"},
                  &engine.world_size);
  rpc::AddInteger(app,
                  {"--rank",
                   "Which of them this process is; 0 is the run's learner, the others get settings "
                   "and parameters from it, write nothing and end with it",
                   0, kMaxRanks - 1, "POMPC_RANK"},
                  &engine.rank);
  app.add_option("--rendezvous", flags.rendezvous,
                 "For ranks above 0: host:port at which rank 0 listens")
      ->envname("POMPC_RENDEZVOUS");
  app.add_option("--rank-host", engine.host,
                 "Address or name of this machine, by which the other ranks reach it")
      ->envname("POMPC_RANK_HOST")
      ->capture_default_str();
  rpc::AddInteger(app,
                  {"--rank-timeout",
                   "Seconds that a rank may let the others wait in an update before the ranks end",
                   1, 3600, "POMPC_RANK_TIMEOUT"},
                  &flags.rank_timeout_seconds);
}

absl::StatusOr<rpc::RunningRole> StartRole(Flags flags, const rpc::RoleContext& context) {
  POMPC_RETURN_IF_ERROR(CheckRanks(flags, context.flags.insecure));
  flags.engine.timeout = absl::Seconds(flags.rank_timeout_seconds);
  return flags.engine.rank == 0 ? StartLeader(flags, context) : StartFollower(flags, context);
}

}  // namespace pompc::learner
