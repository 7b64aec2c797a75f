// Sizes and settings of the world model and of MPPI, as plain structs.
#ifndef POMPC_MODEL_CONFIG_H_
#define POMPC_MODEL_CONFIG_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pompc::model {

// What a policy network's Gaussian means for actions; see policy.h.
enum class PolicyForm {
  kClippedGaussian,  // in action space, samples clipped to [-1, 1]
  kTanhGaussian,     // samples squashed into (-1, 1) by tanh
};

// What matrix products multiply; everything else is float32.
enum class MatmulDtype {
  kFloat32,
  kBfloat16,  // on a CPU with AMX, and on a GPU, which rounds products too; elsewhere float32
};

// Architecture of the TD-MPC2 world model. Immutable for the life of a run: peers compare it for
// equality.
struct ModelConfig {
  // Of the environment.
  int observation_size = 0;
  int action_size = 0;
  // Whether episodes can end by termination; builds the termination head.
  bool terminates = false;

  // Width of the encoder's hidden layers.
  int encoder_dim = 256;
  // Width of the two hidden layers of every other network.
  int mlp_dim = 512;
  // Size of the latent state; a multiple of simnorm_dim.
  int latent_dim = 512;
  // Layers of the encoder, the output layer included; 1 and 2 both mean one hidden layer.
  int encoder_layers = 2;
  // Members of each Q ensemble, at least 2.
  int num_q = 5;
  // Size of one simplex of the latent state.
  int simnorm_dim = 8;
  // Dropout in the first hidden layer of the Q ensembles while training.
  double dropout = 0.01;
  // Bins of the two-hot heads, evenly spread over [bin_min, bin_max] in symlog space.
  int num_bins = 101;
  double bin_min = -10;
  double bin_max = 10;
  PolicyForm policy_form = PolicyForm::kClippedGaussian;
  // Range of the policies' log standard deviation.
  double log_std_min = -3;
  double log_std_max = 1;
  MatmulDtype matmul_dtype = MatmulDtype::kFloat32;

  // INVALID_ARGUMENT naming the field, its value and the allowed range.
  absl::Status Validate() const;

  bool operator==(const ModelConfig&) const = default;
};

// The named sizes: tiny, small, and TD-MPC2's 1M, 5M, 19M, 48M and 317M. observation_size and
// action_size are left 0. INVALID_ARGUMENT for another name, listing the allowed ones.
absl::StatusOr<ModelConfig> ModelSize(std::string_view name);

// What a plan says of its first decision, for a policy to follow.
enum class PlanStatistic {
  kElite,  // first action of the elite that was drawn, and MPPI's last standard deviation
  kMean,   // MPPI's last mean and standard deviation
  kBest,   // first action of the best elite, and the elites' weighted deviation from it
};

// Settings of one plan.
struct MppiConfig {
  // Decisions looked ahead.
  int horizon = 3;
  // Rounds of sampling; see DefaultIterations.
  int iterations = 6;
  // Action sequences scored in each round, those of the policy included.
  int samples = 512;
  // Of these, sequences rolled out by the policy, once per plan.
  int policy_samples = 24;
  // Best sequences, from which mean, standard deviation and the action come.
  int elites = 64;
  // Multiplies values before the softmax over elites (an inverse temperature, as in TD-MPC2).
  double temperature = 0.5;
  // Bounds of the standard deviation of the sampled sequences; the first round starts at max_std.
  double min_std = 0.05;
  double max_std = 2;
  PlanStatistic statistic = PlanStatistic::kMean;
  double discount = 0.99;
  // States planned in one pass over the networks; 0: one at a time on a CPU (each pass fills it,
  // and a plan is then independent of its batch to the last bit), all at once elsewhere.
  int states_per_pass = 0;

  // INVALID_ARGUMENT naming the field, its value and the allowed range.
  absl::Status Validate() const;

  bool operator==(const MppiConfig&) const = default;
};

// TD-MPC2's rule: 6 rounds, and 8 where an action has 20 numbers or more.
int DefaultIterations(int action_size);

}  // namespace pompc::model

#endif  // POMPC_MODEL_CONFIG_H_
