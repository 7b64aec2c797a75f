#ifndef POMPC_LEARNER_FEED_SAMPLING_GATE_H_
#define POMPC_LEARNER_FEED_SAMPLING_GATE_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/base/threads.h"
#include "run/control/sampling_control.h"

namespace pompc::learner {

// Lets a follower draw batches with what rank 0 says of the shards, from the first time on.
// Thread-safe.
class SamplingGate : public run::SamplingControl {
 public:
  // The run has `shards` shards.
  SamplingGate(size_t shards, Clock* clock) : clock_(clock), masses_(shards, 0) {}

  // The shards' tables have these masses now.
  void Open(std::vector<uint64_t> masses) {
    MutexLock lock(&mu_);
    masses_ = std::move(masses);
    open_ = true;
    changed_.SignalAll();
  }
  // No more batches are drawn. Idempotent.
  void Close() {
    MutexLock lock(&mu_);
    closed_ = true;
    changed_.SignalAll();
  }

  bool AwaitSampling(absl::Duration timeout) override {
    MutexLock lock(&mu_);
    const absl::Duration deadline = clock_->Now() + timeout;
    while (!open_ && !closed_ && clock_->WaitUntil(&changed_, &mu_, deadline)) {
    }
    return open_ && !closed_;
  }
  bool Done() const override {
    MutexLock lock(&mu_);
    return closed_;
  }
  std::vector<uint64_t> Masses() const override {
    MutexLock lock(&mu_);
    return masses_;
  }

 private:
  Clock* const clock_;
  mutable Mutex mu_;
  CondVar changed_;
  std::vector<uint64_t> masses_ ABSL_GUARDED_BY(mu_);
  bool open_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_FEED_SAMPLING_GATE_H_
