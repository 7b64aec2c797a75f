#ifndef POMPC_REPLAY_CLIENT_TRAJECTORY_WRITER_H_
#define POMPC_REPLAY_CLIENT_TRAJECTORY_WRITER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/base/threads.h"
#include "grpcpp/channel.h"
#include "replay/core/row.h"

namespace pompc::replay {

class ShardLink;

// A segment that a shard refused.
struct Refusal {
  uint32_t environment = 0;
  // The shard's words and code.
  absl::Status why;
  // Its rows that were dropped: those not acknowledged.
  uint32_t rows = 0;
};

struct TrajectoryWriterOptions {
  std::string run_id;
  // The lease that Register gave this process.
  uint32_t actor_index = 0;
  uint64_t incarnation = 0;
  RowSpec spec;
  // Position in `shards` of each environment's shard; its size is the number of environments.
  std::vector<uint32_t> shard_of_environment;
  // Channels to the run's shards, in the run's order.
  std::vector<std::shared_ptr<grpc::Channel>> shards;

  // Rows in one message; fewer where rows are so large that they fill it (rpc::ItemsPerRequest).
  uint32_t chunk_rows = 16;
  // The most rows of one environment that are kept without acknowledgement; at this number Append
  // waits.
  uint32_t max_unacked_rows = 256;
  // A chunk that is not full is sent after this time.
  absl::Duration flush_after = absl::Milliseconds(50);
  // A stream is closed and reopened at this age, whatever its state.
  absl::Duration stream_max_age = absl::Minutes(10);
  // A stream that owes an acknowledgement, is not blocked and says nothing for this long is opened
  // anew.
  absl::Duration progress_timeout = absl::Seconds(30);
  // Pauses between attempts to reach a shard, and the seed of their jitter.
  BackoffOptions backoff;
  uint64_t seed = 0;
  // Called for each segment that the shard refused, whether or not its episode has ended. It runs
  // on the writer's thread without locks held, and must not call Close or the destructor. Optional.
  std::function<void(const Refusal&)> on_refused;
  // Called, like on_refused, for each segment that is continued as a new one because the shard lost
  // its rows.
  std::function<void(uint32_t environment)> on_resumed;
  // Called, like on_refused, once an environment for which HasRoom was false has room again.
  std::function<void(uint32_t environment)> on_room;

  // INVALID_ARGUMENT naming the field.
  absl::Status Validate() const;
};

// Writes the trajectories of one actor process: one Append stream per shard carries all of its
// environments that write there. Rows are kept until acknowledged and sent again after a broken
// stream, so each is stored once; at most max_unacked_rows per environment are kept. Thread-safe;
// calls for one environment must not overlap. `environment` is a position in
// options.shard_of_environment everywhere. Owns one thread; the streams run on gRPC's.
//
// Over an in-process channel, Close before that channel's server stops: gRPC crashes in a call that
// is made to an in-process server after it stopped, and the writer tries to reach its shards until
// it is closed.
class TrajectoryWriter {
 public:
  struct Stats {
    uint64_t appended_rows = 0;     // taken by Append
    uint64_t acked_rows = 0;        // stored by a shard
    uint64_t dropped_rows = 0;      // of refused segments
    uint64_t refused_segments = 0;  // see on_refused
    uint64_t resumed_segments = 0;  // continued as a new segment because a shard lost its rows
    uint64_t resent_rows = 0;
    uint64_t opened_streams = 0;
    uint64_t unacked_rows = 0;  // kept now
  };

  // REQUIRES: options.Validate() is OK. Connects in the background.
  TrajectoryWriter(TrajectoryWriterOptions options, Clock* clock);
  // Closes.
  ~TrajectoryWriter();

  // Begins the next episode of an environment. An episode that was not ended is cut off: what was
  // appended of it stays, but it gets no final observation.
  void BeginEpisode(uint32_t environment);

  // Appends the next row of the environment's episode. Copies it and returns at once, unless the
  // environment has max_unacked_rows outstanding: then waits up to `timeout` for acknowledgements.
  // DEADLINE_EXCEEDED, with the reason (see WaitReason) and the row not taken, if there is still no
  // room (call again to wait longer; a timeout of zero only asks). INVALID_ARGUMENT for wrong
  // sizes, NaN or infinity, actions outside [-1, 1]; the row is not taken. FAILED_PRECONDITION
  // without an episode, and after a terminated row. ABORTED when the shard refused the episode (its
  // seed phase is over, a later incarnation wrote): begin another one. Once a shard has refused the
  // process for good, because it never served this run, every call returns that status. CANCELLED
  // after Close.
  absl::Status Append(uint32_t environment, const RowView& row, absl::Duration timeout);

  // Ends the environment's episode with the observation after its last row, [O], whether it
  // terminated or ran into the time limit. Does not wait. Statuses as Append, without
  // DEADLINE_EXCEEDED.
  absl::Status EndEpisode(uint32_t environment, std::span<const float> final_observation);

  // True if the environment should make its next row. Then one Append returns at once, with the row
  // taken or with an error, even if the shard begins to hold rows back meanwhile. False while the
  // environment has max_unacked_rows outstanding. While the shard holds rows back, it is false from
  // chunk_rows outstanding rows on, because a row that is made later comes from a newer policy.
  // After false, on_room says when that changes.
  bool HasRoom(uint32_t environment) const;

  // Why the environment's rows are not acknowledged just now, in words: the shard's own words when
  // it stopped reading, or that it cannot be reached. Empty when nothing holds them up.
  std::string WaitReason(uint32_t environment) const;

  // Why the environment should make no row just now, in words: HasRoom is false, or a shard turned
  // the process away. Empty otherwise. Only asks: on_room follows from HasRoom alone.
  std::string HeldReason(uint32_t environment) const;

  // Rows of the environment, and ends of its episodes, that its shard has acknowledged so far.
  uint64_t Acknowledged(uint32_t environment) const;

  // Sends what is there and waits until all of it is acknowledged (or was refused).
  // DEADLINE_EXCEEDED after `timeout`, naming the rows left and the reason.
  absl::Status Flush(absl::Duration timeout);

  // Drops what is not acknowledged, ends the streams and wakes waiters with CANCELLED. Idempotent;
  // returns when no callback can run any more.
  void Close();

  Stats stats() const;

 private:
  struct Line;

  ShardLink& LinkOf(uint32_t environment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  const ShardLink& LinkOf(uint32_t environment) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckWritable(uint32_t environment) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t Unacked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void Run();
  // Does what the shard's link decides until it has nothing more to do.
  void Drive(uint32_t shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OpenStream(uint32_t shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AllStreamsEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AnythingToReport() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReportSegments() ABSL_LOCKS_EXCLUDED(mu_);
  void ReportRoom() ABSL_LOCKS_EXCLUDED(mu_);

  const TrajectoryWriterOptions options_;
  Clock* const clock_;

  mutable Mutex mu_;
  CondVar wake_;  // for the thread: something changed
  CondVar room_;  // for callers: rows were acknowledged or dropped
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<ShardLink> links_ ABSL_GUARDED_BY(mu_);
  std::vector<Line> lines_ ABSL_GUARDED_BY(mu_);
  uint64_t appended_rows_ ABSL_GUARDED_BY(mu_) = 0;
  // Environments whose caller was told that there is no room.
  mutable std::set<uint32_t> full_ ABSL_GUARDED_BY(mu_);

  Thread thread_;  // last: it uses everything above
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CLIENT_TRAJECTORY_WRITER_H_
