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
  // The number of windows that each shard holds, 0 where it cannot be reached.
  virtual std::vector<uint64_t> Windows() const = 0;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_SAMPLING_CONTROL_H_
