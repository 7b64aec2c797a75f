#ifndef POMPC_REPLAY_CLIENT_SHARD_CLIENT_H_
#define POMPC_REPLAY_CLIENT_SHARD_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/channel.h"
#include "proto/replay.pb.h"
#include "replay/client/window_batch.h"
#include "replay/core/limiter.h"
#include "replay/core/opening.h"

namespace pompc::replay {

struct ShardClientOptions {
  std::string run_id;
  uint32_t shard_index = 0;
  // Length of the run's list of shards.
  uint32_t shard_count = 1;
  // The start of the learner that configures the shard, grants it rows and changes what it holds. A
  // client that does none of these may leave it out.
  LearnerStart start;
  // The run's environment; RowSpec is taken from it.
  proto::EnvSpec spec;
  uint32_t horizon = 0;  // H
  // This shard's part of the run's capacity.
  uint64_t capacity_rows = 0;
  uint64_t capacity_bytes = 0;
  // Most rows in one chunk of a writer, and the range of the standard deviations of the run's
  // plans; 0: the shard takes whatever any run can have.
  uint32_t chunk_rows = 0;
  float min_plan_std = 0;
  float max_plan_std = 0;
  // Name of the run's task, and control steps of a decision.
  std::string task;
  uint32_t action_repeat = 0;
  // The run's settings of replay.
  proto::ReplayConfig replay;
  // Name of the table that windows are drawn from; "": the first.
  std::string table;
  // Deadline of every call, from its start.
  absl::Duration timeout = absl::Seconds(10);
};

// The learner's client of one replay shard. Every call has a deadline, and none is repeated: the
// caller knows when that makes sense. Blocking calls return UNAVAILABLE while the shard cannot be
// reached or was not configured (call Configure and retry), FAILED_PRECONDITION if it serves
// another run or spec. Thread-safe; any number of calls may run at a time.
class ShardClient {
 public:
  using SampleCallback = std::function<void(absl::StatusOr<WindowBatch>)>;

  ShardClient(ShardClientOptions options, std::shared_ptr<grpc::Channel> channel);
  // Cancels the calls in flight and waits for their callbacks.
  ~ShardClient();

  // Opens the shard for the run. Idempotent; needed first and after every restart of the shard.
  // ABORTED, like Grant, if another start of the run's learner holds the shard.
  absl::StatusOr<proto::ShardInfo> Configure();

  // Sets what the shard may take.
  absl::StatusOr<proto::ShardInfo> Grant(const RowGrant& grant);

  absl::StatusOr<proto::ShardInfo> Info();

  // Starts drawing `count` windows, 1 to 65536, from the table; the same seed on the same history
  // of the shard draws the same. `done` is called exactly once, from a thread of gRPC; it must not
  // block for long nor destroy the client. FAILED_PRECONDITION (its message says so) while the
  // table holds no window, or fewer draws than `count`; INVALID_ARGUMENT if there is no such table;
  // DATA_LOSS if the answer is not what was asked for.
  void SampleAsync(uint32_t count, uint64_t seed, SampleCallback done);
  absl::StatusOr<WindowBatch> Sample(uint32_t count, uint64_t seed);

  // Calls that change what the shard holds return ABORTED if `start` of the options does not hold
  // it.

  // Replaces the plan statistics of the rows at `addresses` [n] with plan_mean, plan_std [n, A].
  // `opening` is that of the batch the addresses came with (WindowBatch::opening): where the shard
  // was opened again since, all of them count as evicted. The rows are sent in as many
  // calls as they need; after an error some of these may have been answered. REQUIRES: sizes that
  // fit together.
  absl::StatusOr<proto::UpdatePlansReply> UpdatePlans(const Opening& opening,
                                                      std::span<const uint64_t> addresses,
                                                      std::span<const float> plan_mean,
                                                      std::span<const float> plan_std);

  // Sets the priorities [n] of the windows whose first rows are at `addresses` [n], in the table
  // that windows are drawn from. `opening`, and requests that need several calls, are as in
  // UpdatePlans. FAILED_PRECONDITION if the table draws without priorities. REQUIRES: sizes that
  // fit together.
  absl::StatusOr<proto::UpdatePrioritiesReply> UpdatePriorities(const Opening& opening,
                                                                std::span<const uint64_t> addresses,
                                                                std::span<const float> priorities);

  // Bars the windows whose first rows are at `addresses` from being drawn. `opening` is as in
  // UpdatePlans. Idempotent.
  absl::StatusOr<proto::BarWindowsReply> BarWindows(const Opening& opening,
                                                    std::span<const uint64_t> addresses);

  // Has the shard store chunks of a data set, in the order of its episodes, and returns how much of
  // the data set it then has. Without chunks it only returns that. RESOURCE_EXHAUSTED while the
  // shard's disk is full; INVALID_ARGUMENT naming a row that it refuses.
  absl::StatusOr<proto::ImportRowsReply> ImportRows(uint32_t data_set,
                                                    std::vector<proto::ImportedRows> chunks);

  // Does what the destructor does; calls made later fail with CANCELLED. Idempotent.
  void Close();

  const ShardClientOptions& options() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// Splits a batch over shards multinomially by the masses of their tables, so that drawing each
// share within its shard draws the batch from the union: uniformly by numbers of windows, by
// priority by sums of priorities. Returns one share per shard; they sum to `batch`, or to 0 when no
// shard holds a window. A pure function: the same seed gives the same split on every machine.
// REQUIRES: the masses sum to less than 2^64.
std::vector<uint32_t> SplitBatch(uint32_t batch, std::span<const uint64_t> masses, uint64_t seed);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CLIENT_SHARD_CLIENT_H_
