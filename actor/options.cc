#include "actor/options.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace pompc::actor {

absl::Status AppOptions::SetAddresses(const std::string& learner_address,
                                      const std::string& planner_addresses,
                                      const std::string& replay_addresses) {
  std::vector<rpc::Endpoint> learners;
  if (!learner_address.empty()) {
    POMPC_ASSIGN_OR_RETURN(learners, rpc::ParseEndpoints("--learner", learner_address));
    if (learners.size() != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("--learner: \"", learner_address, "\"; a run has one learner"));
    }
    learner = learners[0];
  }
  if (!planner_addresses.empty()) {
    POMPC_ASSIGN_OR_RETURN(planners, rpc::ParseEndpoints("--planners", planner_addresses));
  }
  if (!replay_addresses.empty()) {
    POMPC_ASSIGN_OR_RETURN(replay, rpc::ParseEndpoints("--replay", replay_addresses));
  }
  return absl::OkStatus();
}

absl::Status AppOptions::Validate() const {
  if (learner.empty()) return absl::InvalidArgumentError("--learner is missing: host:port");
  if (planners.empty()) {
    return absl::InvalidArgumentError("--planners is missing: host:port,host:port,...");
  }
  if (!evaluate && replay.empty()) {
    return absl::InvalidArgumentError(
        "--replay is missing: host:port of each shard of the run, in the run's order");
  }
  if (environments > 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("--environments: ", environments, "; allowed: 0 to 4096"));
  }
  if (threads < 1 || threads > 256) {
    return absl::InvalidArgumentError(absl::StrCat("--threads: ", threads, "; allowed: 1 to 256"));
  }
  return absl::OkStatus();
}

}  // namespace pompc::actor
