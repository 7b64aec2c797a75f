#ifndef POMPC_LEARNER_CHECKPOINT_WRITER_H_
#define POMPC_LEARNER_CHECKPOINT_WRITER_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "common/bounded_queue.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "common/thread.h"
#include "learner/checkpoint.h"
#include "learner/checkpoint_store.h"

namespace pompc::learner {

// Writes checkpoints on a thread of its own, so that updates go on meanwhile. What is asked for is
// done in order. Failures are logged and counted, the run goes on. Thread-safe. Owns the store
// while it lives.
class CheckpointWriter {
 public:
  struct Stats {
    uint64_t written = 0;
    uint64_t failed = 0;
    // Time spent writing.
    absl::Duration time;
    // Of the newest attempt.
    absl::Status status;
    // When the first of the attempts failed since which all have; meaningless while `status` is OK.
    absl::Duration failing_since;
  };

  CheckpointWriter(std::unique_ptr<CheckpointStore> store, Clock* clock);
  // Closes.
  ~CheckpointWriter();

  // Blocks while another checkpoint waits to be written: two of them in memory are enough. A pinned
  // checkpoint stays until Settle.
  void Write(std::unique_ptr<Checkpoint> checkpoint, bool pin);
  // As Write, and waits until it is on disk.
  absl::Status WriteAndWait(std::unique_ptr<Checkpoint> checkpoint);
  // The evaluation of the pinned checkpoint of `updates` is over; it was the best of all, or not.
  void Settle(uint64_t updates, bool best);

  Stats stats() const;

  // Finishes what was asked for before; later requests are dropped. Idempotent.
  void Close();

 private:
  void Run();
  // Takes the one place for a checkpoint that waits; DoWrite frees it.
  void TakePlace();
  absl::Status DoWrite(const Checkpoint& checkpoint, bool pin);
  void DoSettle(uint64_t updates, bool best);

  Clock* const clock_;
  // Used by the thread alone.
  const std::unique_ptr<CheckpointStore> store_;

  // Far more than evaluations can be outstanding.
  BoundedQueue<std::function<void()>> jobs_{256};

  mutable Mutex mu_;
  CondVar taken_;
  // Checkpoints asked for that the thread has not begun to write.
  int waiting_ ABSL_GUARDED_BY(mu_) = 0;
  Stats stats_ ABSL_GUARDED_BY(mu_);

  Thread thread_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_CHECKPOINT_WRITER_H_
