// Everything an update changes.
#ifndef POMPC_LEARNER_UPDATE_LEARNABLES_H_
#define POMPC_LEARNER_UPDATE_LEARNABLES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "learner/update/adam.h"
#include "learner/update/ranks.h"
#include "learner/update/running_scale.h"
#include "model/mlp.h"
#include "model/parameters.h"
#include "model/tensor_file.h"
#include "model/torch_compat.h"
#include "model/world_model.h"

namespace pompc::update {

// The losses that optimisers follow, as statuses and metrics name them.
inline constexpr char kModelLoss[] = "model";
inline constexpr char kRegularizedValueLoss[] = "regularized_value";
inline constexpr char kPriorLoss[] = "prior";
inline constexpr char kPolicyLoss[] = "policy";

// Everything a resumed updater needs to go on bit for bit; fits model::WriteTensorFile.
struct UpdaterState {
  model::NamedTensors tensors;
  model::Metadata metadata;
};

// Why a tensor of this name cannot be part of an updater's state, as a rule: numbers must be
// finite, second moments (adam.*.v) 0 or more, running scales (scale.*) above 0. Empty: it can be.
std::string TensorProblem(const model::NamedTensor& named);
// The same of a counter: a whole number in decimal, from 0 to 2^63 - 1; the seed to 2^64 - 1,
// updater.prior_trained 0 or 1, updater.format 1.
std::string CounterProblem(const std::string& name, const std::string& text);
// INVALID_ARGUMENT naming the first tensor or counter that has a problem, and the rule.
absl::Status CheckValues(const UpdaterState& state);

// Networks, target networks, optimisers and running scales of one updater, as its config asks for
// them. Not thread-safe; neither copied nor moved, since gradients and optimisers share its
// tensors.
struct Learnables {
  Learnables(model::WorldModel fresh, uint64_t initial_seed);
  Learnables(const Learnables&) = delete;
  Learnables& operator=(const Learnables&) = delete;

  // As Updater's.
  UpdaterState Export();
  absl::Status Import(const UpdaterState& state);
  absl::Status Keep();
  void GoBack();
  absl::Status Synchronize(Ranks& ranks);
  int64_t Checksum();

  uint64_t seed = 0;
  // Updates made.
  int64_t updates = 0;
  // Whether the prior has ever been trained: before, its Gaussian means nothing.
  bool prior_trained = false;

  model::WorldModel world_model;
  model::Mlp q_target;
  // nullopt without regularised values, and without a learned prior.
  std::optional<model::Mlp> regularized, regularized_target, prior;
  Adam model_adam, policy_adam;
  std::optional<Adam> regularized_adam, prior_adam;
  RunningScale value_scale, kl_scale;

 private:
  struct Optimizer {
    const char* name;
    Adam* adam;
  };
  std::vector<Optimizer> Optimizers();
  // Views of everything that changes, scalars apart.
  model::NamedTensors Tensors();

  // The same in a few long vectors, with the loss whose gradient changes each.
  struct Vector {
    const char* loss;
    at::Tensor tensor;
  };
  std::vector<Vector> Vectors();

  // What Keep put aside.
  struct Kept {
    std::vector<at::Tensor> tensors;  // of Vectors()
    int64_t updates = 0;
    bool prior_trained = false;
    std::vector<int64_t> steps;  // of Optimizers()
  };
  Kept kept_;
};

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_LEARNABLES_H_
