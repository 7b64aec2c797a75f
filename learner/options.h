#ifndef POMPC_LEARNER_OPTIONS_H_
#define POMPC_LEARNER_OPTIONS_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/threads.h"
#include "common/base/turns.h"
#include "common/metrics/metrics.h"
#include "common/rpc/endpoint.h"
#include "common/rpc/server.h"
#include "learner/engine/engine.h"
#include "proto/config.pb.h"
#include "replay/client/data_set_import.h"
#include "run/control/leases.h"
#include "run/control/run_control.h"

namespace pompc::learner {

// Most processes that make the updates together.
inline constexpr int kMaxRanks = 1024;

// The settings of a learner.
struct AppOptions {
  // The address to serve at; by default in-process only.
  rpc::ServerOptions server;
  // The run's directory; a new run if there is none, else that run is resumed.
  std::string run_dir;
  // Resolved, with env.spec.
  proto::RunConfig config;
  // The run's replay shards, in its order. At least one.
  std::vector<rpc::Endpoint> replay;
  // The data sets of config.replay.import, checked (OpenDataSets); absent: the learner opens them.
  std::optional<std::vector<replay::CheckedDataSet>> data_sets;
  // What trains, made from `config`; see MakeTorchEngine. Used by this learner alone.
  std::shared_ptr<Engine> engine;
  // Processes that make the updates together; this one is rank 0 of them, and `engine` as well. The
  // others are Followers. learner.batch_size must be a multiple.
  int world_size = 1;
  // With config.schedule LOCKSTEP, and with it alone: hands turns to the one actor, which lives in
  // the same process. Must outlive the learner.
  Turns* turns = nullptr;
  run::LeaseOptions lease;
  // Actors that should take part, for the metric that alerts compare with.
  uint32_t expected_actors = 1;
  // The interval at which each shard is told how many rows it may take.
  absl::Duration grant_interval = absl::Milliseconds(50);
  // The time for which the grant of a shard that does not answer is reserved for it
  // (RunControlOptions).
  absl::Duration keep_grants = run::RunControlOptions().keep_grants;
  // The deadline of one call to a shard.
  absl::Duration shard_timeout = absl::Seconds(5);
  // An evaluation without a result is given up after this time; planners keep its version as long.
  absl::Duration evaluation_timeout = run::EvaluationOptions().timeout;
  // The learner ends with an error when replay has held enough rows for so long and no window.
  absl::Duration window_patience = run::WindowWatch::Options().patience;
  // Once the run is over: how long actors and evaluators are waited for to hear of it. Longer than
  // a lease, which ends what does not answer.
  absl::Duration drain_timeout = absl::Seconds(15);
  // When training ends: how long the last checkpoint and evaluations.csv are tried again if they
  // cannot be written. Then the learner ends with an error.
  absl::Duration write_timeout = absl::Seconds(10);
  // Given to calls in progress when the learner stops.
  absl::Duration stop_grace = absl::Seconds(1);
  Clock* clock = Clock::Real();
  // The registry of its metrics. Required.
  std::shared_ptr<MetricsRegistry> metrics;

  // INVALID_ARGUMENT naming what is missing or out of range.
  absl::Status Validate() const;
};

// The control plane's settings out of the run's config.
run::RunControlOptions MakeRunControlOptions(const AppOptions& options,
                                             uint64_t learner_incarnation);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_OPTIONS_H_
