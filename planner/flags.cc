#include "planner/flags.h"

#include "CLI/CLI.hpp"
#include "common/base/check.h"
#include "common/rpc/endpoint.h"
#include "common/rpc/integer_flag.h"

namespace pompc::planner {

void Flags::AddTo(CLI::App& app) {
  app.add_option("--learner", learners,
                 "Address of the learner, host:port; of several runs, separated by commas")
      ->envname("POMPC_LEARNER");
  app.add_flag("--accept-runs", accept_runs,
               "Serve the runs that others name, too (pompc planner follow)")
      ->envname("POMPC_ACCEPT_RUNS");
  rpc::AddInteger(app, {"--max-runs", "most runs at a time", 1, kMostRuns, "POMPC_MAX_RUNS"},
                  &max_runs);
  rpc::AddInteger(app,
                  {"--drain-seconds", "time to plan what still waits when the planner is stopped",
                   0, 600, "POMPC_DRAIN_SECONDS"},
                  &drain_seconds);
  app.add_option("--device", engine.device, "Where to plan: cpu, cuda or cuda:N")
      ->envname("POMPC_DEVICE")
      ->capture_default_str();
  rpc::AddInteger(app, {"--threads", "threads that plan, 0: one a core", 0, 1024, "POMPC_THREADS"},
                  &engine.threads);
}

absl::StatusOr<AppOptions> Flags::MakeOptions(
    const std::shared_ptr<const rpc::Certificates>& certificates) const {
  AppOptions options;
  // Not a required flag for the parser, since --healthcheck does without.
  if (!learners.empty()) {
    POMPC_ASSIGN_OR_RETURN(
        options.learners,
        rpc::ParseEndpoints("--learner", learners, {certificates, proto::Access::LEARNER}));
  }
  options.accept_runs = accept_runs;
  options.max_runs = max_runs;
  options.drain_timeout = absl::Seconds(drain_seconds);
  // Actors look names up by themselves (common/rpc/discovery.h). A client that leaves it to gRPC
  // does so when it connects, and finds added planners after this time.
  options.server.max_connection_age = absl::Minutes(5);
  return options;
}

}  // namespace pompc::planner
