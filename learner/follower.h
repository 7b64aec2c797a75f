#ifndef POMPC_LEARNER_FOLLOWER_H_
#define POMPC_LEARNER_FOLLOWER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/base/state_timer.h"
#include "common/base/threads.h"
#include "common/metrics/metrics.h"
#include "common/rpc/endpoint.h"
#include "common/rpc/server.h"
#include "learner/engine/engine.h"
#include "learner/feed/batch_history.h"
#include "learner/feed/plan_writer.h"
#include "learner/feed/prefetcher.h"
#include "learner/feed/priority_writer.h"
#include "learner/feed/sampling_gate.h"
#include "learner/feed/shard_clients.h"
#include "learner/ranks/rank_client.h"
#include "proto/config.pb.h"

namespace pompc::learner {

struct FollowerOptions {
  // The address at which to answer health checks; by default in-process only.
  rpc::ServerOptions server;
  // Rank 0.
  rpc::Endpoint leader;
  // 1 to world_size - 1.
  int rank = 1;
  int world_size = 2;
  // The run's replay shards, in its order.
  std::vector<rpc::Endpoint> replay;
  // Makes the engine of this rank from the run's resolved config.
  std::function<absl::StatusOr<std::shared_ptr<Engine>>(const proto::RunConfig&)> make_engine;
  // Names the process in rank 0's log; empty: host:pid.
  std::string name;
  // The time limit of one call to a shard or to rank 0.
  absl::Duration call_timeout = absl::Seconds(5);
  // The time after which the other ranks, which wait for this one's batch, are told that there is
  // none yet.
  absl::Duration look_up = absl::Seconds(1);
  // The pauses between attempts to join.
  BackoffOptions backoff;
  // The time that health checks in progress may take to end when the follower stops.
  absl::Duration stop_grace = absl::Seconds(1);
  Clock* clock = Clock::Real();
  // The registry of its metrics. Required.
  std::shared_ptr<MetricsRegistry> metrics;

  // INVALID_ARGUMENT naming what is missing or out of range.
  absl::Status Validate() const;
};

// A learner process other than rank 0: takes its part in every update of the run, from batches it
// draws itself, and nothing else; it does what rank 0 says and ends with it. Thread-safe.
class Follower {
 public:
  enum class State {
    kJoining,           // rank 0 is not there yet, or other ranks are not
    kWaitingForOrders,  // rank 0 has something else to do, or is not allowed to update
    kWaitingForData,    // no batch is ready
    kUpdating,          // and re-planning rows, keeping a copy of the state
    kEnded,
  };
  static constexpr size_t kStates = 5;
  // Names of the states, in order.
  static const std::array<absl::string_view, kStates>& StateNames();
  using Timer = StateTimer<State, kStates>;

  // INVALID_ARGUMENT as options.Validate(); statuses of rpc::Server::Start.
  static absl::StatusOr<std::unique_ptr<Follower>> Start(FollowerOptions options);
  // Stops.
  ~Follower();

  // OK while it takes part or waits for rank 0; otherwise why not.
  absl::Status Health() const;

  // Blocks until this rank has ended. Returns OK after rank 0 has ended in order or after Stop, and
  // rank 0's error if it has ended with one. Other errors are UNAVAILABLE when another rank was
  // lost, and the refusal of rank 0, of the engine or of a shard.
  absl::Status Wait();

  // Leaves: the run cannot go on without this rank. Idempotent; bounded by an update, an exchange
  // between ranks and stop_grace.
  void Stop();

 private:
  explicit Follower(FollowerOptions options);

  absl::Status Run();
  absl::StatusOr<proto::RankWelcome> Join();
  absl::Status Obey(const proto::RankOrder& order);
  absl::Status Connect();
  absl::Status Draw(const std::vector<uint64_t>& masses);
  absl::Status Step(bool want_values);
  // Tells the others how many windows it has barred.
  absl::Status GoBack();

  const FollowerOptions options_;
  RankClient client_;
  std::unique_ptr<rpc::Server> server_;
  Timer timer_;
  Event stopping_;
  Event ended_;

  // Used by the thread. Prefetcher, writers and history exist from Connect on.
  std::string run_id_;
  proto::RunConfig config_;
  std::shared_ptr<Engine> engine_;
  SamplingGate gate_;
  std::unique_ptr<ShardClients> shards_;
  std::unique_ptr<Prefetcher> prefetcher_;
  std::unique_ptr<PlanWriter> plan_writer_;
  std::unique_ptr<PriorityWriter> priority_writer_;
  std::unique_ptr<BatchHistory> history_;
  // This rank's part of the batch of the next update.
  std::optional<DrawnBatch> batch_;
  std::atomic<uint64_t> updates_{0};
  // The metrics of the members above.
  MetricSource metrics_;

  mutable Mutex mu_;
  absl::Status error_ ABSL_GUARDED_BY(mu_);

  // Held while stopping.
  Mutex stop_mu_;
  bool stopped_ ABSL_GUARDED_BY(stop_mu_) = false;
  Thread thread_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_FOLLOWER_H_
