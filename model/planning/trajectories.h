// Action sequences in the world model: what they are worth, and those that the policy proposes.
// Thread-safe. Letters of shapes: S states, N sequences, H decisions (1 or more), A numbers of an
// action, L numbers of a latent.
#ifndef POMPC_MODEL_PLANNING_TRAJECTORIES_H_
#define POMPC_MODEL_PLANNING_TRAJECTORIES_H_

#include "model/world_model.h"

namespace pompc::model {

// The randomness in the values of N action sequences from each of S states.
struct TrajectoryDraws {
  at::Tensor noise;  // [S, N, A], standard normal, for the policy's action at the last state
  // Two different members of the Q ensemble for each state, one pair after the other, int64 [2 S]
  // on the model's device; unused where there are two members in all.
  at::Tensor members;
};

// What plans maximise: discounted returns in the model, [S, N], of action sequences [S, N, H, A]
// from latents [S, L]. A return is the sum of gamma^t R
// over the H decisions, plus gamma^H times the mean of two members of Q at the policy's action.
// Everything after a state that is terminal with a probability above one half counts as 0
// (TD-MPC2's estimate_value). REQUIRES: shapes as said, draws for S and N.
at::Tensor TrajectoryValues(const WorldModel& model, double discount, const at::Tensor& latents,
                            const at::Tensor& sequences, const TrajectoryDraws& draws);

// Action sequences [S, N, H, A] of the policy's rollouts in the model from latents [S, L], for
// standard normal noise [S, N, H, A].
at::Tensor PolicySequences(const WorldModel& model, const at::Tensor& latents,
                           const at::Tensor& noise);

}  // namespace pompc::model

#endif  // POMPC_MODEL_PLANNING_TRAJECTORIES_H_
