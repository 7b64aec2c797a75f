// Model predictive path integral control in latent space (TD-MPC2's planner), batched over states.
#ifndef POMPC_MODEL_MPPI_H_
#define POMPC_MODEL_MPPI_H_

#include <cstdint>
#include <vector>

#include "model/torch_compat.h"
#include "model/world_model.h"
#include "proto/config.pb.h"

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
  // States planned in one pass over the networks; 0: one at a time on a CPU (each pass fills it,
  // and a plan is then independent of its batch to the last bit), all at once elsewhere.
  int64_t states_per_pass = 0;
};

// float32 on the CPU.
struct Plans {
  at::Tensor actions;  // [B, A] in [-1, 1]: what to execute
  // The Gaussian of the first decision for a policy to follow, as planner.statistic says. [B, A];
  // std is in [min_std, max_std], for BEST at least 1e-3.
  at::Tensor mean, std;
  at::Tensor value;       // [B]: value of the elite the action comes from
  at::Tensor warm_start;  // [B, H, A]: mean of the whole plan, unshifted
};

// Plans B decisions. Builds no graph; thread-safe; blocks the calling thread while it computes.
// Plan b depends on request b, and on the others only through the order of floating-point sums (not
// even that on a CPU with states_per_pass 0). A NaN value of a sequence counts as 0. REQUIRES:
// shapes as above; `config` is one that config::Derive made, for this model.
Plans PlanMppi(const WorldModel& model, const proto::RunConfig& config, const PlanInputs& inputs);

// The same without planning: the policy's mean action where evaluating, else one drawn from it;
// mean and std are the policy's, the value that of the mean action, the warm start all zeros.
Plans ActByPolicy(const WorldModel& model, const proto::RunConfig& config,
                  const PlanInputs& inputs);

// The randomness in the values of N action sequences from each of S states.
struct TrajectoryDraws {
  at::Tensor noise;  // [S, N, A], standard normal: of the policy's action at the last state
  // Two different members of the Q ensemble for each state, one pair after the other, [2 S];
  // unused where there are two members in all.
  std::vector<int64_t> members;
};

// What plans maximise: discounted returns in the model of action sequences [S, N, H, A], any H >=
// 1, from latents [S * N, L], each state's N rows next to each other: [S, N]. Sum of gamma^t R, and
// gamma^H times the mean of two members of Q at the policy's action; what comes after a state that
// is rather terminal than not counts 0 (TD-MPC2's estimate_value). Thread-safe.
at::Tensor TrajectoryValues(const WorldModel& model, double discount, const at::Tensor& latents,
                            const at::Tensor& sequences, const TrajectoryDraws& draws);

}  // namespace pompc::model

#endif  // POMPC_MODEL_MPPI_H_
