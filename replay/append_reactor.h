#ifndef POMPC_REPLAY_APPEND_REACTOR_H_
#define POMPC_REPLAY_APPEND_REACTOR_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "common/values/parameter_version.h"
#include "grpcpp/support/server_callback.h"
#include "proto/replay.pb.h"
#include "replay/core/shard.h"

namespace pompc::replay {

// One Append stream on the server: reads a chunk, gives it to the shard, queues the answer, reads
// the next. Back-pressure is not reading: while the limiter is closed it keeps the one chunk it has
// read, tells the writer why, and goes on when the shard calls OnRoom; while kMaxReplies answers
// are owed (the writer does not read them, or the store is slow) it reads nothing either. So a
// stream holds one chunk at most, no larger than MaxChunkBytes, and about kMaxReplies answers.
// Thread-safe; gRPC calls the On... methods. Keeps itself alive until OnDone.
class AppendReactor : public grpc::ServerBidiReactor<proto::AppendRequest, proto::AppendReply>,
                      public RoomWaiter,
                      public std::enable_shared_from_this<AppendReactor> {
 public:
  static constexpr size_t kMaxReplies = 32;

  // Starts reading. `on_done` is called when the stream is over. `shard` must outlive the stream.
  static std::shared_ptr<AppendReactor> Start(Shard* shard,
                                              std::function<void(AppendReactor*)> on_done);

  // Ends the stream with `status`, after the answer that is being written. Idempotent.
  void End(const absl::Status& status);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void OnRoom() override;

 private:
  AppendReactor(Shard* shard, std::function<void(AppendReactor*)> on_done)
      : shard_(shard), on_done_(std::move(on_done)) {}

  // Gives the chunk in request_ to the shard and sees to its answer; leaves it there if it must
  // wait for room.
  void Process();
  AppendOutcome AppendRequested();
  // False if the chunk is to be tried again at once: room came before the stream began to wait.
  bool BeginWaiting(const absl::Status& why);
  // Answers once the store says that what was appended so far is durable: a gap and a refusal tell
  // of rows before them as well, and answers go out in the order of their chunks.
  void AnswerWhenDurable(const AppendOutcome& outcome);
  // The next chunk may be read.
  void ReadNext();
  // `partial`: the answer is to a part of the chunk in request_, and more comes.
  void QueueReply(proto::AppendReply reply, bool partial) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void QueueBlocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Starts whatever may be started: a write, a read, or the end.
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Shard* const shard_;
  const std::function<void(AppendReactor*)> on_done_;

  // Belong to whoever processes the chunk: one thread at a time.
  proto::AppendRequest request_;
  std::vector<ParameterVersion> versions_;

  Mutex mu_;
  std::shared_ptr<AppendReactor> self_ ABSL_GUARDED_BY(mu_);  // until OnDone
  // Answers to be written; the first one is being written while writing_.
  std::deque<proto::AppendReply> replies_ ABSL_GUARDED_BY(mu_);
  size_t undurable_ ABSL_GUARDED_BY(mu_) = 0;  // chunks whose answer waits for the store
  // The newest answer is a partial one; only messages about being blocked came after it.
  bool partial_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool reading_ ABSL_GUARDED_BY(mu_) = false;      // a read is under way, or its chunk in process
  bool writer_done_ ABSL_GUARDED_BY(mu_) = false;  // no more chunks come
  bool waiting_ ABSL_GUARDED_BY(mu_) = false;      // for room
  bool room_came_ ABSL_GUARDED_BY(mu_) = false;    // before waiting_ was set
  std::string why_ ABSL_GUARDED_BY(mu_);           // of waiting_
  bool ending_ ABSL_GUARDED_BY(mu_) = false;       // nothing new is started
  bool finished_ ABSL_GUARDED_BY(mu_) = false;     // Finish was called
  absl::Status end_status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_APPEND_REACTOR_H_
