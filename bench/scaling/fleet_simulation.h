#ifndef POMPC_BENCH_SCALING_FLEET_SIMULATION_H_
#define POMPC_BENCH_SCALING_FLEET_SIMULATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace pompc::bench {

// CPU time of the parts of a fleet, as other benches measure it (docs/scaling.md).
struct FleetTimes {
  // An actor: a decision with its control steps, its row and its share of the calls.
  absl::Duration decision;
  // A planner's thread: a plan, with the planner's part of the call.
  absl::Duration plan;
  // A batch, on top of its plans; nothing for planners that plan one by one.
  absl::Duration batch;
  // A shard: a chunk of rows that arrives, each of its rows, and a window that is drawn.
  absl::Duration chunk;
  absl::Duration row;
  absl::Duration window;
  // The learner: an update; a heartbeat of an actor; a grant to a shard.
  absl::Duration update;
  absl::Duration heartbeat;
  absl::Duration grant;
  // A message from one process to another, without the work at either end.
  absl::Duration message;
};

struct FleetOptions {
  int actors = 1;
  // The environments of each actor.
  int environments = 1;
  int planners = 1;
  // The threads of each planner.
  int planner_threads = 1;
  bool plans_one_by_one = true;
  int max_batch = 64;
  int max_queue = 1024;
  int shards = 1;
  // An environment's pause between two decisions is at least so long; zero: as fast as it can.
  absl::Duration decision_interval;

  // Settings of the run.
  uint32_t chunk_rows = 16;
  uint64_t max_unacked_rows = 256;
  uint64_t seed_rows = 1000;
  uint64_t pretrain_updates = 10;
  double utd = 1;
  uint64_t slack_rows = 1000;
  uint32_t batch_size = 256;
  uint32_t prefetch_batches = 16;
  uint64_t publish_every_updates = 10;
  // What a version weighs, and what the learner sends in a second to all planners together.
  double parameter_bytes = 0;
  double bytes_per_second = 1e9;

  FleetTimes times;
  // What is measured begins when the run trains, `warm_up` later.
  absl::Duration warm_up = absl::Seconds(5);
  absl::Duration measured = absl::Seconds(10);
  // The run must train by then.
  absl::Duration give_up = absl::Minutes(30);
  uint64_t seed = 1;
};

// A share of time in which a part of the fleet works.
struct FleetLoad {
  std::string part;
  double share = 0;
};

struct FleetReport {
  // Why nothing was measured; empty otherwise.
  std::string failure;
  double rows_per_second = 0;
  double updates_per_second = 0;
  // From asking for a plan to having it, and of that the time in a planner's queue.
  absl::Duration plan_p50, plan_p99, queue_p50, queue_p99;
  // Refusals for each plan.
  double refusals = 0;
  // Rows of the actor that made the fewest, over the mean.
  double least_rows = 0;
  // The busiest of each kind.
  std::vector<FleetLoad> loads;
  // Share of the environments' time in which replay holds them back.
  double held_back = 0;
  // What limits the rate, in words.
  std::string bottleneck;
  // Time that the real code took for each call, at this size, while it was simulated: what the
  // learner and a planner spend on deciding.
  absl::Duration push, poll, pick, heartbeat, grant;
  uint64_t events = 0;
};

// A fleet in virtual time. The decisions are those of the real code: which planner an actor asks
// (EndpointPicker), what a planner plans next and refuses (PlanQueue), leases, phases, grants and
// the ratio of updates to rows (RunControl), and in which order a shard lets writers in
// (WriterQueue). What takes time is taken from `options.times`, with a spread of 10 %; processes
// have cores of their own. Hedges are left out. The same options give the same report, but for the
// CPU times. REQUIRES: all numbers are positive.
FleetReport SimulateFleet(const FleetOptions& options);

}  // namespace pompc::bench

#endif  // POMPC_BENCH_SCALING_FLEET_SIMULATION_H_
