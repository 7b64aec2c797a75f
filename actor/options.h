#ifndef POMPC_ACTOR_OPTIONS_H_
#define POMPC_ACTOR_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "actor/core/environment_slot.h"
#include "common/base/clock.h"
#include "common/base/turns.h"
#include "common/metrics/metrics.h"
#include "common/rpc/endpoint.h"

namespace CLI {
class App;
}  // namespace CLI

namespace pompc::actor {

inline constexpr uint32_t kMaxEnvironments = 4096;
inline constexpr int kMaxThreads = 256;

struct AppOptions {
  rpc::Endpoint learner;
  // Asked in turn; at least one.
  std::vector<rpc::Endpoint> planners;
  // The run's shards, in the run's order; not needed by an evaluator.
  std::vector<rpc::Endpoint> replay;
  // Plays evaluations instead of collecting rows.
  bool evaluate = false;
  // Environments stepped by this process; 0: as many as the run's config says. An evaluator plays
  // so many episodes at a time; 0: 8.
  uint32_t environments = 0;
  // Threads the environments are divided over; an evaluator has one.
  int threads = 1;
  // Names the process in the learner's status; empty: host:pid.
  std::string name;
  // How long Stop lets rows wait that no shard has acknowledged.
  absl::Duration flush_timeout = absl::Seconds(1);
  // Folder of the models that are not built in; empty: env::DefaultAssetFolder().
  std::string assets;
  // Makes the environments; empty: those of the run's task.
  EnvironmentFactory factory;
  // Of a run in this process whose schedule is LOCKSTEP, else null; must outlive the app.
  Turns* turns = nullptr;
  Clock* clock = Clock::Real();
  std::shared_ptr<MetricsRegistry> metrics = std::make_shared<MetricsRegistry>();

  // Takes the addresses as the flags give them: one learner, and lists separated by commas; empty
  // ones stay missing. INVALID_ARGUMENT naming the flag.
  absl::Status SetAddresses(const std::string& learner_address,
                            const std::string& planner_addresses,
                            const std::string& replay_addresses);

  // INVALID_ARGUMENT naming the flag and what it may be.
  absl::Status Validate() const;
};

// pompc-actor's own flags.
struct Flags {
  // Addresses, as SetAddresses takes them.
  std::string learner, planners, replay;
  // All else that flags set.
  AppOptions options;
};

// `flags` must outlive the parsing.
void AddFlags(CLI::App& app, Flags& flags);

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_OPTIONS_H_
