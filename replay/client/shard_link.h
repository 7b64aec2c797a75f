#ifndef POMPC_REPLAY_CLIENT_SHARD_LINK_H_
#define POMPC_REPLAY_CLIENT_SHARD_LINK_H_

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/rpc/reconnector.h"
#include "proto/replay.pb.h"
#include "replay/client/outbox.h"
#include "replay/client/trajectory_writer.h"

namespace pompc::replay {

// Decides what the stream to one shard does: when it is opened and given up, which rows it sends
// next, and what an answer means. Pure steps: knows neither gRPC nor threads, and time only as an
// argument. Not thread-safe.
//
// Environments take turns, one chunk at a time. A full chunk, or one that ends a segment, is sent
// at once; what is less waits for flush_after.
class ShardLink {
 public:
  enum class Action {
    kNone,    // wait for NextDeadline() or an event
    kOpen,    // open a stream, then OnOpened
    kWrite,   // NextChunk has something
    kCancel,  // cancel the stream; OnEnded follows
  };
  ShardLink(const TrajectoryWriterOptions& options, uint32_t shard);

  // The environment's rows. REQUIRES: it writes to this shard. After adding to it, call OnAdded; if
  // it returns true, Poll has something new to consider.
  Outbox& outbox(uint32_t environment) {
    POMPC_DCHECK(environments_.contains(environment));
    return environments_.at(environment).outbox;
  }
  const Outbox& outbox(uint32_t environment) const {
    POMPC_DCHECK(environments_.contains(environment));
    return environments_.at(environment).outbox;
  }
  bool OnAdded(uint32_t environment, absl::Duration now);
  // True if the environment should make its next row: always once the shard is broken
  // (then the row meets the error); while the shard holds rows back only up to one chunk, for rows
  // that wait grow stale; else while its outbox has room.
  bool WantsRow(uint32_t environment) const;
  // Everything that is there may be sent now.
  void FlushNow();

  Action Poll(absl::Duration now);
  // When Poll is to be called next if nothing happens.
  absl::Duration NextDeadline() const;

  void OnOpened(absl::Duration now);
  // Fills the next chunk. REQUIRES: Poll returned kWrite. Then nothing is written until OnWritten.
  void NextChunk(absl::Duration now, proto::AppendRequest* request);
  void OnWritten(absl::Duration now);
  void OnReply(const proto::AppendReply& reply, absl::Duration now);
  // The stream is over.
  void OnEnded(const absl::Status& status, absl::Duration now);

  // True if TakeRefusals or TakeResumed has something.
  bool HasNews() const { return !refusals_.empty() || !resumed_.empty(); }
  // Refusals since the last call.
  std::vector<Refusal> TakeRefusals() { return std::exchange(refusals_, {}); }
  // Environments of segments continued as new ones since the last call.
  std::vector<uint32_t> TakeResumed() { return std::exchange(resumed_, {}); }
  // Rows and ends of the environment's episodes that the shard has acknowledged so far.
  uint64_t acknowledged(uint32_t environment) const {
    return environments_.at(environment).acknowledged;
  }
  // Not OK once the shard turned this process away for good: for another run only if it never
  // answered before.
  const absl::Status& broken() const { return broken_; }
  // Why rows are not acknowledged just now, in words; empty when none waits.
  std::string WaitReason() const;
  // The same for one environment.
  std::string WaitReason(uint32_t environment) const;
  uint64_t unacked() const;
  // appended_rows and unacked_rows are left to the caller.
  const TrajectoryWriter::Stats& stats() const { return stats_; }

 private:
  struct Environment {
    Outbox outbox;
    bool ready = false;    // stands in ready_
    bool partial = false;  // stands in partial_
    bool flush = false;    // what is there may be sent though it is no full chunk
    uint64_t acknowledged = 0;
  };

  bool Enqueue(uint32_t index, Environment* environment, absl::Duration now);
  void UpdateQueues(absl::Duration now);
  // True if the shard owes an answer to something.
  bool AnswerDue() const;
  std::string WaitReasonFor(uint64_t unacked) const;
  void OnVerdict(uint32_t index, Environment* environment, const proto::AppendReply& reply);
  // Takes note of the rows that the reply says are stored.
  void OnStored(Environment* environment, const proto::AppendReply& reply);

  const TrajectoryWriterOptions& options_;
  const uint32_t shard_;
  const uint32_t chunk_rows_;
  const proto::Header header_;
  std::map<uint32_t, Environment> environments_;
  // Environments that have a chunk to send, in the order in which they take turns.
  std::deque<uint32_t> ready_;
  // Environments with less than a chunk, and when that is sent all the same; in that order.
  std::deque<std::pair<absl::Duration, uint32_t>> partial_;

  // The stream's times, pauses and failures.
  rpc::Reconnector stream_;
  bool writing_ = false;
  std::string blocked_;  // the shard's reason for not reading; empty: it reads
  absl::Status broken_;
  std::vector<Refusal> refusals_;
  std::vector<uint32_t> resumed_;
  TrajectoryWriter::Stats stats_;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CLIENT_SHARD_LINK_H_
