// The randomness of one update: numbers drawn on the host, and the tensors that the formulas read.
#ifndef POMPC_LEARNER_UPDATE_DRAWS_H_
#define POMPC_LEARNER_UPDATE_DRAWS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "model/torch_compat.h"
#include "proto/config.pb.h"

namespace pompc::update {

// Names of the random streams of one update (model::RandomStream); their index is the number of
// updates made before it.
enum Stream : uint32_t {
  kTargetAction = 101,   // noise of the actions that targets look at
  kTargetMembers = 102,  // pair of members in targets
  kFitDropout = 103,     // dropout of all value heads
  kPolicyNoise = 104,
  kPolicyMembers = 105,
  kPolicyDropout = 106,
  kPriorNoise = 107,  // for a squashed prior
};

// Sizes of a batch: H and the number of windows.
struct BatchSize {
  int64_t horizon = 0;
  int64_t batch = 0;
};

// Rows are (step, window) pairs, step first.
struct Draws {
  // Standard normal, [rows, A]: noise of the actions that targets look at. One row for each of the
  // H * B later states; where only the last states of the windows are valued (WINDOW_END), and no
  // KL needs an action elsewhere (a squashed policy held to stored plans), for those B states
  // alone.
  at::Tensor target_noise;
  // Members of the target ensemble of each value head, int64 [M].
  at::Tensor target_members;
  // Multiplies the first layer of each value head while it is fitted, [N, H * B, mlp_dim];
  // undefined: none.
  at::Tensor fit_dropout;
  // Standard normal, [T * B, A], T as in Windows: noise of a squashed prior's actions; undefined
  // without one.
  at::Tensor prior_noise;
  // Standard normal, [T * B, A]: noise of the actions that the policy is judged by.
  at::Tensor policy_noise;
  // Members of the ensemble that judges the policy, int64 [M]; undefined where there is none.
  at::Tensor policy_members;
  // The same as fit_dropout for those members: [M, T * B, mlp_dim].
  at::Tensor policy_dropout;

  // INVALID_ARGUMENT naming what has another shape than above, or the member there is not.
  absl::Status Validate(const proto::RunConfig& config, BatchSize size) const;
};

// The draws of the windows begin to begin + count of a batch of `batch` windows, out of those of
// the whole batch. REQUIRES: these windows are in the batch.
Draws DrawsOf(const Draws& whole, int64_t batch, int64_t begin, int64_t count);

// What Draws hold for a config: the states of each window that have target noise, those that have
// noise of the policy (and of the prior), and whether there are prior noise and policy members.
struct DrawShapes {
  int64_t target_states = 0;
  int64_t policy_states = 0;
  bool prior_noise = false;
  bool policy_members = false;
};
DrawShapes ShapesOf(const proto::RunConfig& config, BatchSize size);

// The random numbers that draws are made of: what is drawn on the host and goes to the device with
// the batch. Undefined where Draws have nothing. Shapes and dtypes follow from the configs and the
// batch's size alone.
struct RandomNumbers {
  at::Tensor target_noise, prior_noise, policy_noise;  // as in Draws, float32
  at::Tensor target_members, policy_members;           // int64 [2]
  at::Tensor fit_zeros, policy_zeros;                  // places of zeros: model::DropoutZeros
};

// All of them, those undefined included.
std::vector<at::Tensor*> TensorsOf(RandomNumbers& numbers);

// The numbers of an update, on the CPU: a function of `seed` and of the number of updates before.
// The ensemble that judges the policy draws nothing where there is none (alpha = 1).
RandomNumbers DrawNumbers(const proto::RunConfig& config, BatchSize size, uint64_t seed,
                          uint32_t update);

// The draws made of them, in the dtype and on the device of `options`.
Draws MakeDraws(const RandomNumbers& numbers, const proto::RunConfig& config, BatchSize size,
                const at::TensorOptions& options);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_DRAWS_H_
