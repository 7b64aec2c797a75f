#include "actor/options.h"

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rpc/integer_flag.h"

namespace pompc::actor {

absl::Status AppOptions::SetAddresses(const std::string& learner_address,
                                      const std::string& planner_addresses,
                                      const std::string& replay_addresses,
                                      const std::shared_ptr<const rpc::Certificates>& own) {
  // The flag is read as the lists are, so that a list of learners is refused as such.
  std::vector<rpc::Endpoint> learners;
  if (!learner_address.empty()) {
    POMPC_ASSIGN_OR_RETURN(
        learners, rpc::ParseEndpoints("--learner", learner_address, {own, proto::Access::LEARNER}));
    if (learners.size() != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("--learner: \"", learner_address, "\"; a run has one learner"));
    }
    learner = learners[0];
  }
  if (!planner_addresses.empty()) {
    POMPC_ASSIGN_OR_RETURN(
        planners, rpc::ParsePlaces("--planners", planner_addresses, {own, proto::Access::PLANNER}));
  }
  if (!replay_addresses.empty()) {
    POMPC_ASSIGN_OR_RETURN(
        replay, rpc::ParseEndpoints("--replay", replay_addresses, {own, proto::Access::REPLAY}));
  }
  return absl::OkStatus();
}

absl::Status AppOptions::Validate() const {
  if (learner.empty()) return absl::InvalidArgumentError("--learner is missing; give host:port");
  POMPC_RETURN_IF_ERROR(ValidateBeyondRun());
  // An evaluator writes no rows, so the same flags without --replay suit it.
  if (!evaluate && replay.empty()) {
    return absl::InvalidArgumentError(
        "--replay is missing; give host:port of each shard, in the run's order");
  }
  return absl::OkStatus();
}

absl::Status AppOptions::ValidateBeyondRun() const {
  if (planners.empty()) {
    return absl::InvalidArgumentError(
        "--planners is missing; give host:port,host:port,... or @FILE");
  }
  if (environments > kMaxEnvironments) {
    return absl::InvalidArgumentError(
        absl::StrCat("--environments: ", environments, "; allowed: 0 to ", kMaxEnvironments));
  }
  if (lookup_interval <= absl::ZeroDuration() ||
      lookup_interval > absl::Seconds(kMaxLookupSeconds)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--lookup-seconds: ", absl::ToDoubleSeconds(lookup_interval),
                     "; allowed: 1 to ", kMaxLookupSeconds));
  }
  if (threads < 1 || threads > kMaxThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("--threads: ", threads, "; allowed: 1 to ", kMaxThreads));
  }
  return absl::OkStatus();
}

// Every flag has an environment variable, because containers are configured by those. The bounds of
// numbers protect the process: each environment holds a simulation of up to some megabytes.
void AddFlags(CLI::App& app, Flags& flags) {
  AppOptions& options = flags.options;
  app.add_option("--learner", flags.learner, "host:port of the learner")->envname("POMPC_LEARNER");
  app.add_option(
         "--planners", flags.planners,
         "host:port of each planner, separated by commas; a host's name may stand for "
         "several, and @FILE (or file:FILE) for those that a file lists; also dns:///host:port "
         "and unix:PATH")
      ->envname("POMPC_PLANNERS");
  rpc::AddInteger(
      app,
      {"--lookup-seconds", "pause between two lookups of the names and files in --planners", 1,
       kMaxLookupSeconds, "POMPC_LOOKUP_SECONDS"},
      &flags.lookup_seconds);
  app.add_option("--replay", flags.replay,
                 "host:port of each replay shard, separated by commas, in the run's order")
      ->envname("POMPC_REPLAY");
  rpc::AddInteger(
      app,
      {"--environments",
       "number of environments to step (0: actor.environments of the run's config); with "
       "--evaluate: number of episodes to play at a time (0: 8)",
       0, kMaxEnvironments, "POMPC_ENVIRONMENTS"},
      &options.environments);
  rpc::AddInteger(app,
                  {"--threads", "number of threads that step the environments", 1, kMaxThreads,
                   "POMPC_THREADS"},
                  &options.threads);
  app.add_flag("--fleet", flags.fleet,
               "be an actor of a fleet: find runs at the --planners, and serve whichever needs "
               "actors most; --learner and --replay are left out")
      ->envname("POMPC_FLEET");
  app.add_flag("--evaluate", options.evaluate,
               "be an evaluator: play evaluations instead of collecting rows")
      ->envname("POMPC_EVALUATE");
  app.add_option("--assets", options.assets,
                 "folder of the models that are not built in (default: the folder that "
                 "scripts/fetch-control-suite.sh fills)")
      ->envname("POMPC_ASSETS");
  app.add_option("--name", options.name,
                 "name of this process in the learner's status (default: host:pid)")
      ->envname("POMPC_NAME");
}

}  // namespace pompc::actor
