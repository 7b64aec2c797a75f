#ifndef POMPC_RUN_CONTROL_SAMPLING_CONTROL_H_
#define POMPC_RUN_CONTROL_SAMPLING_CONTROL_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace pompc::run {

// What whoever draws batches asks the run. Thread-safe.
class SamplingControl {
 public:
  virtual ~SamplingControl() = default;

  // Waits, up to `timeout`, until batches may be drawn. False after the timeout, or once there is
  // nothing more to train.
  virtual bool AwaitSampling(absl::Duration timeout) = 0;
  // True if nothing is trained any more.
  virtual bool Done() const = 0;
  // The mass of the learner's table in each shard (proto::TableInfo), by which batches are split
  // over the shards: the number of its windows where they count alike. 0 where the shard cannot be
  // reached.
  virtual std::vector<uint64_t> Masses() const = 0;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_SAMPLING_CONTROL_H_
