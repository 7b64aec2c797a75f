#include "learner/checkpoint_writer.h"

#include <optional>
#include <utility>

#include "common/event.h"
#include "common/log.h"

namespace pompc::learner {

CheckpointWriter::CheckpointWriter(std::unique_ptr<CheckpointStore> store, Clock* clock)
    : clock_(clock), store_(std::move(store)), thread_("checkpoints", [this] { Run(); }) {}

CheckpointWriter::~CheckpointWriter() { Close(); }

void CheckpointWriter::Run() {
  while (std::optional<std::function<void()>> job = jobs_.Pop(clock_)) (*job)();
}

void CheckpointWriter::Write(std::unique_ptr<Checkpoint> checkpoint, bool pin) {
  TakePlace();
  std::shared_ptr<Checkpoint> shared = std::move(checkpoint);
  jobs_.Push([this, shared, pin] { DoWrite(*shared, pin).IgnoreError(); });
}

absl::Status CheckpointWriter::WriteAndWait(std::unique_ptr<Checkpoint> checkpoint) {
  TakePlace();
  absl::Status status = absl::CancelledError("the checkpoint writer is closed");
  Event done;
  if (jobs_.Push([&] {
        status = DoWrite(*checkpoint, false);
        done.Set();
      })) {
    done.Wait();
  }
  return status;
}

void CheckpointWriter::Settle(uint64_t updates, bool best) {
  jobs_.Push([this, updates, best] { DoSettle(updates, best); });
}

void CheckpointWriter::TakePlace() {
  MutexLock lock(&mu_);
  while (waiting_ > 0 && !jobs_.closed()) taken_.Wait(&mu_);
  ++waiting_;
}

absl::Status CheckpointWriter::DoWrite(const Checkpoint& checkpoint, bool pin) {
  {
    MutexLock lock(&mu_);
    --waiting_;
    taken_.Signal();
  }
  const uint64_t updates = checkpoint.info.progress.updates;
  const absl::Duration start = clock_->Now();
  if (pin) store_->Pin(updates);
  const absl::Status status = store_->Write(
      updates, [&](const std::string& folder) { return WriteCheckpoint(folder, checkpoint); });
  if (status.ok()) {
    Log().debug("checkpoint {}", store_->Path(updates));
  } else {
    Log().error("no checkpoint at update {}: {}", updates, status.ToString());
  }
  MutexLock lock(&mu_);
  ++(status.ok() ? stats_.written : stats_.failed);
  stats_.time += clock_->Now() - start;
  if (stats_.status.ok()) stats_.failing_since = clock_->Now();
  stats_.status = status;
  return status;
}

void CheckpointWriter::DoSettle(uint64_t updates, bool best) {
  absl::Status status;
  if (best) status = store_->SetBest(updates);
  status.Update(store_->Unpin(updates));
  if (!status.ok()) Log().error("checkpoint {}: {}", updates, status.ToString());
}

CheckpointWriter::Stats CheckpointWriter::stats() const {
  MutexLock lock(&mu_);
  return stats_;
}

void CheckpointWriter::Close() {
  {
    MutexLock lock(&mu_);
    jobs_.Close();
    taken_.SignalAll();
  }
  thread_.Join();
}

}  // namespace pompc::learner
