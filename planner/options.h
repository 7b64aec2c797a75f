#ifndef POMPC_PLANNER_OPTIONS_H_
#define POMPC_PLANNER_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/base/threads.h"
#include "common/metrics/metrics.h"
#include "common/rpc/endpoint.h"
#include "common/rpc/server.h"
#include "planner/engine.h"

namespace pompc::planner {

// Most runs that a planner may be told to serve.
inline constexpr int kMostRuns = 256;

// The settings of a planner. Model, MPPI settings and bounds of the queue come with the parameters.
struct AppOptions {
  // The address to serve at; by default the planner serves in its process only.
  rpc::ServerOptions server;
  // The learners whose runs it serves, for as long as it lives. At each the run of the first
  // parameters that arrive.
  std::vector<rpc::Endpoint> learners;
  // Learners may be named while it runs, too (PlannerService.Follow).
  bool accept_runs = false;
  // Most runs at a time.
  int max_runs = 16;
  // Name in the learners' status. Empty: host:pid.
  std::string name;
  // Makes the plans; see MakeTorchEngine.
  std::shared_ptr<PlanEngine> engine;
  // Versions kept for evaluations beside the newest, at most, of each run.
  size_t max_kept_versions = 8;
  // Longest time a request may wait for its batch, whatever its deadline.
  absl::Duration max_queue_wait = absl::Seconds(60);
  // Pauses between attempts to reach a learner.
  BackoffOptions learner_backoff;
  // If the server at one of `learners` never was a learner and lacks its methods for this long, it
  // is another program, and the planner ends.
  absl::Duration wrong_peer_timeout = absl::Seconds(10);
  // Seed of the jitter in these pauses.
  uint64_t seed = 1;
  Clock* clock = Clock::Real();
  std::shared_ptr<MetricsRegistry> metrics;
  // Time in which a planner that stops still plans the requests that wait; the others are answered
  // with UNAVAILABLE, so that their callers ask another planner.
  absl::Duration drain_timeout = absl::Seconds(10);
  // Time that their answers then have to reach the callers.
  absl::Duration stop_grace = absl::Seconds(2);

  // INVALID_ARGUMENT naming what is missing or out of range.
  absl::Status Validate() const;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_OPTIONS_H_
