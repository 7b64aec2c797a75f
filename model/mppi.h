// Model predictive path integral control in latent space (TD-MPC2's planner), batched over states.
#ifndef POMPC_MODEL_MPPI_H_
#define POMPC_MODEL_MPPI_H_

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "model/torch_compat.h"
#include "model/world_model.h"

namespace pompc::model {

// B requests; tensors are float32, on any device. O, A, H: observation size, action size, horizon.
struct PlanInputs {
  at::Tensor observations;  // [B, O]
  // Means of the previous plans as they came back, [B, H, A]; PlanMppi shifts them by one decision.
  // Undefined: none.
  at::Tensor warm_start;
  // Which of these to use (elsewhere, the start of an episode, the search starts at zero). [B],
  // empty: all if warm_start is defined.
  std::vector<bool> has_warm_start;
  // All randomness of plan b follows from seeds[b]. [B]
  std::vector<uint64_t> seeds;
  // Plans without exploration noise. [B], empty: none.
  std::vector<bool> evaluate;
};

// float32 on the CPU.
struct Plans {
  at::Tensor actions;     // [B, A] in [-1, 1]: what to execute
  // The Gaussian of the first decision for a policy to follow, as config.statistic says. [B, A];
  // std is in [min_std, max_std], for kBest at least 1e-3.
  at::Tensor mean, std;
  at::Tensor value;       // [B]: value of the elite the action comes from
  at::Tensor warm_start;  // [B, H, A]: mean of the whole plan, unshifted
};

// Plans B decisions. Builds no graph; thread-safe; blocks the calling thread while it computes.
// Plan b depends on request b, and on the others only through the order of floating-point sums (not
// even that on a CPU with states_per_pass 0). A NaN value of a sequence counts as 0. REQUIRES:
// shapes as above, config.Validate() is ok.
Plans PlanMppi(const WorldModel& model, const MppiConfig& config, const PlanInputs& inputs);

}  // namespace pompc::model

#endif  // POMPC_MODEL_MPPI_H_
