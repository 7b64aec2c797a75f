#ifndef POMPC_LEARNER_CHECKPOINT_WRITER_H_
#define POMPC_LEARNER_CHECKPOINT_WRITER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "common/base/backoff.h"
#include "common/base/bounded_queue.h"
#include "common/base/threads.h"
#include "learner/checkpoint.h"
#include "rundir/checkpoint_store.h"

namespace pompc::learner {

// Writes checkpoints on a thread of its own, so that updates go on meanwhile. What is requested is
// done in order. Failures are logged and counted, and the run continues. A checkpoint that could
// not be written, for example because the disk is full, is kept in memory and tried again, with
// backoff and whenever another one could be written. At most kMaxFailed are kept: the newest, the
// one of the best policy so far, and those under evaluation. Thread-safe. Owns the store while it
// lives.
class CheckpointWriter {
 public:
  static constexpr size_t kMaxFailed = 3;

  struct Stats {
    // Checkpoints written, and tries that failed.
    uint64_t written = 0;
    uint64_t failed = 0;
    // Time spent writing.
    absl::Duration time;
    // Outcome of the newest try.
    absl::Status status;
    // When the present unbroken series of failures began; it has no meaning while `status` is OK.
    absl::Duration failing_since;
    // Checkpoints that could not be written and are to be tried again.
    uint64_t waiting = 0;
    // Update of the newest checkpoint on disk.
    std::optional<uint64_t> newest;
    // Time since this writer last put a newest checkpoint on disk or, if later, since the writer
    // began.
    absl::Duration age;
    // Update of the checkpoint that is being written, and since when; absent while none is.
    std::optional<uint64_t> writing;
    absl::Duration writing_since;
  };

  // REQUIRES: store and clock are given; the clock outlives the writer.
  CheckpointWriter(std::unique_ptr<rundir::CheckpointStore> store, Clock* clock,
                   const BackoffOptions& retry = {.initial = absl::Seconds(1),
                                                  .max = absl::Seconds(30)});
  // Closes.
  ~CheckpointWriter();

  // Requests that the checkpoint is written. Blocks while another one waits to be written, so that
  // memory holds one that waits, one that is being written and those that failed, and no more. A
  // pinned checkpoint is not deleted before Settle.
  void Write(std::unique_ptr<Checkpoint> checkpoint, bool pin);
  // Writes the checkpoint like Write and waits until it is on disk. A failed write is repeated for
  // `retry_for` at most, and not at all once CheckInPlace fails; then the error of the last try is
  // returned. CANCELLED once the writer is closed. With `replace`, an existing checkpoint of the
  // same update is replaced, because its counters are older; otherwise it counts as this one.
  absl::Status WriteAndWait(std::unique_ptr<Checkpoint> checkpoint,
                            absl::Duration retry_for = absl::ZeroDuration(), bool replace = false);
  // The evaluation of the pinned checkpoint of `updates` is over, with a result or without.
  void Settle(uint64_t updates, std::optional<proto::EvaluationResult> result);

  Stats stats() const;

  // FAILED_PRECONDITION when the run directory was moved or deleted since the store was opened,
  // naming the newest checkpoint: nothing is written any more.
  absl::Status CheckInPlace() const;

  // Finishes what was requested before, and tries once more what failed; later requests are
  // dropped. Idempotent.
  void Close();

 private:
  using Shared = std::shared_ptr<const Checkpoint>;

  void Run();
  // Takes the one place for a checkpoint that waits; DoWrite frees it.
  void TakePlace();
  absl::Status DoWrite(const Shared& checkpoint, bool pin, bool replace);
  void DoSettle(uint64_t updates, const std::optional<proto::EvaluationResult>& result);
  // Tries once to write it.
  absl::Status Put(const Checkpoint& checkpoint, bool replace);
  void TryAgain();
  // The failed checkpoint of the best return, if that is better than all on disk.
  std::map<uint64_t, Shared>::iterator BestFailed();
  // Forgets failed checkpoints that nobody needs any more.
  void DropFailed();
  // Puts the folder in order, and decides when to try again.
  void Tidy();

  Clock* const clock_;
  // From here to jobs_: used by the thread alone, but for store_->CheckInPlace().
  const std::unique_ptr<rundir::CheckpointStore> store_;
  Backoff backoff_;
  // What could not be written, by updates.
  std::map<uint64_t, Shared> failed_;
  absl::Duration next_try_ = absl::InfiniteDuration();

  // Far more than evaluations can be outstanding.
  BoundedQueue<std::function<void()>> jobs_{256};

  mutable Mutex mu_;
  CondVar taken_;
  // Checkpoints requested that the thread has not begun to write.
  int waiting_ ABSL_GUARDED_BY(mu_) = 0;
  Stats stats_ ABSL_GUARDED_BY(mu_);
  // What Stats::age counts from.
  absl::Duration newest_at_ ABSL_GUARDED_BY(mu_);

  Thread thread_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_CHECKPOINT_WRITER_H_
