#ifndef POMPC_PLANNER_OPTIONS_H_
#define POMPC_PLANNER_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/base/threads.h"
#include "common/metrics/metrics.h"
#include "common/rpc/endpoint.h"
#include "common/rpc/server.h"
#include "planner/engine.h"

namespace pompc::planner {

// The settings of a planner. Model, MPPI settings and bounds of the queue come with the parameters.
struct AppOptions {
  // The address to serve at; by default the planner serves in its process only.
  rpc::ServerOptions server;
  // The learner, from which the parameters come.
  rpc::Endpoint learner;
  // Run to serve. Empty: the run of the first parameters that arrive.
  std::string run_id;
  // Name in the learner's status. Empty: host:pid.
  std::string name;
  // Makes the plans; see MakeTorchEngine.
  std::shared_ptr<PlanEngine> engine;
  // Versions kept for evaluations beside the newest, at most.
  size_t max_kept_versions = 8;
  // Longest time a request may wait for its batch, whatever its deadline.
  absl::Duration max_queue_wait = absl::Seconds(60);
  // Pauses between attempts to reach the learner.
  BackoffOptions learner_backoff;
  // If the server at `learner` never was a learner and lacks its methods for this long, it is
  // another program, and the planner ends.
  absl::Duration wrong_peer_timeout = absl::Seconds(10);
  // Seed of the jitter in these pauses.
  uint64_t seed = 1;
  Clock* clock = Clock::Real();
  std::shared_ptr<MetricsRegistry> metrics;
  // Time that calls in progress have to end when the planner stops.
  absl::Duration stop_grace = absl::Seconds(2);

  // INVALID_ARGUMENT naming what is missing or out of range.
  absl::Status Validate() const;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_OPTIONS_H_
