#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "common/config/run_config.h"
#include "common/config/task_specs.h"
#include "common/rpc/role_main.h"
#include "common/status_macros.h"
#include "learner/app.h"
#include "learner/torch_engine.h"

int main(int argc, char** argv) {
  namespace rpc = pompc::rpc;
  namespace learner = pompc::learner;
  rpc::RoleMain role({.program = "pompc-learner",
                      .summary = "Trains one run and is its control plane. A run directory that "
                                 "exists is gone on with.",
                      .examples = "Example: pompc-learner --preset quickstart --run-dir runs/one "
                                  "--replay 127.0.0.1:7100,127.0.0.1:7101",
                      .listen = "127.0.0.1:7000"});
  learner::AppOptions options;
  learner::TorchEngineOptions engine;
  pompc::config::RunConfigSources sources;
  std::string replay;
  CLI::App& flags = role.flags();
  flags.add_option("--run-dir", options.run_dir, "Where the run's files are")
      ->envname("POMPC_RUN_DIR");
  flags.add_option("--replay", replay, "Replay shards, host:port,host:port, always in this order")
      ->envname("POMPC_REPLAY");
  flags.add_option("--preset", sources.presets, "Settings by name")->envname("POMPC_PRESET");
  flags.add_option("--config", sources.files, "Settings from a file, protobuf text format");
  flags.add_option("--set", sources.overrides, "One setting, path.to.field=value");
  flags.add_option("--device", engine.device, "Where to train: cpu, cuda or cuda:N")
      ->envname("POMPC_DEVICE")
      ->capture_default_str();
  flags.add_option("--threads", engine.threads, "CPU threads of one operation, 1 to 1024")
      ->envname("POMPC_THREADS")
      ->capture_default_str();
  return role.Run(
      argc, argv, [&](const rpc::RoleContext& context) -> absl::StatusOr<rpc::RunningRole> {
        POMPC_ASSIGN_OR_RETURN(options.config, pompc::config::LoadRunConfig(sources));
        POMPC_RETURN_IF_ERROR(pompc::config::FillEnvSpec(&options.config));
        POMPC_ASSIGN_OR_RETURN(options.replay, rpc::ParseEndpoints("--replay", replay));
        POMPC_ASSIGN_OR_RETURN(options.engine, learner::MakeTorchEngine(options.config, engine));
        options.server = {.listen = context.flags.listen, .insecure = context.flags.insecure};
        options.metrics = context.metrics;
        POMPC_ASSIGN_OR_RETURN(std::shared_ptr<learner::App> app,
                               learner::App::Start(std::move(options)));
        context.http.AddPage("/", [weak = std::weak_ptr<learner::App>(app)] {
          const std::shared_ptr<learner::App> alive = weak.lock();
          return pompc::HttpPage{"text/html; charset=utf-8", alive ? alive->StatusPage() : ""};
        });
        return rpc::RunningRole{[app] { app->Stop(); }, [app] { return app->Wait(); },
                                [app] { return app->Health(); }};
      });
}
