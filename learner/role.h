#ifndef POMPC_LEARNER_ROLE_H_
#define POMPC_LEARNER_ROLE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/config/run_config.h"
#include "common/rpc/role_main.h"
#include "learner/engine/torch_engine.h"
#include "learner/options.h"

namespace pompc::learner {

// The health service answers for it on every rank: above 0 there is no other service.
inline constexpr char kHealthService[] = "pompc-learner";

// pompc-learner's own flags.
struct Flags {
  std::string run_dir;
  std::string replay;
  config::RunConfigSources sources;
  TorchEngineOptions engine;
  // For ranks above 0: the address at which rank 0 serves.
  std::string rendezvous;
  uint32_t expected_actors = AppOptions().expected_actors;
  uint32_t rank_timeout_seconds =
      static_cast<uint32_t>(absl::ToInt64Seconds(TorchEngineOptions().timeout));
};

// `flags` must outlive the parsing.
void AddFlags(CLI::App& app, Flags& flags);

// Starts rank 0, which is the run's learner, or another rank. INVALID_ARGUMENT naming the flag,
// else as App::Start and Follower::Start.
absl::StatusOr<rpc::RunningRole> StartRole(Flags flags, const rpc::RoleContext& context);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_ROLE_H_
