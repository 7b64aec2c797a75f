// The spread of a quantity over batches, by which a loss term is divided (TD-MPC2's RunningScale).
#ifndef POMPC_LEARNER_UPDATE_RUNNING_SCALE_H_
#define POMPC_LEARNER_UPDATE_RUNNING_SCALE_H_

#include "model/torch_compat.h"

namespace pompc::update {

// S starts at 1 and follows p = max(95th - 5th percentile, 1) at rate tau: S <- S + tau (p - S).
// Not thread-safe.
class RunningScale {
 public:
  RunningScale(double tau, const at::TensorOptions& options);

  // x [n]; mask [n], 0 leaves a number out, undefined: none. S stays as it is if fewer than two
  // numbers are left.
  void Update(const at::Tensor& x, const at::Tensor& mask);

  // A scalar that later updates overwrite in place.
  const at::Tensor& value() const { return value_; }

 private:
  double tau_;
  at::Tensor value_;
};

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_RUNNING_SCALE_H_
