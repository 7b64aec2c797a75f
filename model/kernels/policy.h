// Actions from a policy network's outputs (model/policy.h has the formulas). float32, row-major,
// single-threaded, thread-safe.
#ifndef POMPC_MODEL_KERNELS_POLICY_H_
#define POMPC_MODEL_KERNELS_POLICY_H_

#include <cstdint>

#include "model/kernels/gemm.h"

namespace pompc::model::kernels {

struct PolicyForm {
  int64_t actions = 0;    // numbers of an action
  bool squashed = false;  // TANH_GAUSSIAN, otherwise CLIPPED_GAUSSIAN
  float log_std_min = 0;
  float log_std_max = 0;
};

// Draws `rows` actions from `outputs` [rows, 2 actions] and standard normal `noise` [rows,
// actions], whose rows, like those of the result, are their strides apart; a stride of 0 repeats a
// row.
void PolicyActions(const PolicyForm& form, int64_t rows, RowsOf<const float> outputs,
                   RowsOf<const float> noise, RowsOf<float> actions);

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_POLICY_H_
