#ifndef POMPC_ACTOR_OPTIONS_H_
#define POMPC_ACTOR_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "actor/core/environment_slot.h"
#include "common/base/threads.h"
#include "common/base/turns.h"
#include "common/metrics/metrics.h"
#include "common/rpc/discovery.h"
#include "common/rpc/endpoint.h"

namespace CLI {
class App;
}  // namespace CLI

namespace pompc::actor {

inline constexpr uint32_t kMaxEnvironments = 4096;
inline constexpr int kMaxThreads = 256;
inline constexpr int kMaxLookupSeconds = 3600;

struct AppOptions {
  rpc::Endpoint learner;
  // The places at which the run's planners are found, at least one.
  std::vector<rpc::Place> planners;
  // The pause between two lookups of names and files among these.
  absl::Duration lookup_interval = absl::Seconds(2);
  // The run's shards, in the run's order. An evaluator needs none.
  std::vector<rpc::Endpoint> replay;
  // Makes the process an evaluator, which plays evaluations instead of collecting rows.
  bool evaluate = false;
  // The number of environments that an actor steps; 0 means actor.environments of the run's config.
  // An evaluator plays this many episodes at a time; 0 means 8.
  uint32_t environments = 0;
  // The threads that the environments are divided among. An evaluator uses one.
  int threads = 1;
  // The name of the process in the learner's status; empty means host:pid.
  std::string name;
  // The time for which Stop waits for rows that no shard has acknowledged.
  absl::Duration flush_timeout = absl::Seconds(1);
  // The folder of the models that are not built in; empty means env::DefaultAssetFolder().
  std::string assets;
  // Makes the environments; empty means those of the run's task.
  EnvironmentFactory factory;
  // The turns of a run in this process whose schedule is LOCKSTEP, else null. Must outlive the app.
  Turns* turns = nullptr;
  Clock* clock = Clock::Real();
  std::shared_ptr<MetricsRegistry> metrics = std::make_shared<MetricsRegistry>();

  // Sets the addresses as the flags give them: one learner, and lists separated by commas, that of
  // the planners with names and files. Empty ones are left out. `own` are the certificates of this
  // process; null: plaintext. Fails with INVALID_ARGUMENT naming the flag.
  absl::Status SetAddresses(const std::string& learner_address,
                            const std::string& planner_addresses,
                            const std::string& replay_addresses,
                            const std::shared_ptr<const rpc::Certificates>& own = nullptr);

  // Returns INVALID_ARGUMENT naming a flag that has a bad value, and the allowed ones.
  absl::Status Validate() const;
  // Does the same for what is not the address of a learner or a shard.
  absl::Status ValidateBeyondRun() const;
};

// The flags that pompc-actor has beside those of all roles.
struct Flags {
  // The arguments of SetAddresses.
  std::string learner, planners, replay;
  // AppOptions::lookup_interval, in seconds.
  int lookup_seconds = 2;
  // Be an actor of a fleet (FleetOptions).
  bool fleet = false;
  // Everything else that flags set.
  AppOptions options;
};

// Adds the flags to `app`. `flags` must outlive the parsing.
void AddFlags(CLI::App& app, Flags& flags);

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_OPTIONS_H_
