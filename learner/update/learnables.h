// Everything an update changes.
#ifndef POMPC_LEARNER_UPDATE_LEARNABLES_H_
#define POMPC_LEARNER_UPDATE_LEARNABLES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "learner/update/losses.h"
#include "learner/update/optimizer.h"
#include "learner/update/ranks.h"
#include "model/parameters.h"
#include "model/tensor_file.h"
#include "model/torch_compat.h"
#include "model/world_model.h"

namespace pompc::update {

// The losses that optimisers follow, as statuses and metrics name them, and all of them in the
// order in which an update follows them.
inline constexpr char kModelLoss[] = "model";
inline constexpr char kRegularizedValueLoss[] = "regularized_value";
inline constexpr char kPriorLoss[] = "prior";
inline constexpr char kPolicyLoss[] = "policy";
inline constexpr const char* kLosses[] = {kModelLoss, kRegularizedValueLoss, kPriorLoss,
                                          kPolicyLoss};

// Everything a resumed updater needs to continue bit for bit; fits model::WriteTensorFile.
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

// The steps of an update that minimise something (docs/algorithm.md, Update).
enum class UpdateStep { kModel = 2, kPrior = 3, kPolicy = 4 };

struct Optimizer {
  // Its place in a checkpoint: tensors "adam.<name>.m" and ".v", counter
  // "updater.adam_steps.<name>".
  const char* name;
  // The loss that it follows (kLosses), and the step in which it does.
  const char* loss;
  UpdateStep step;
  // Reports the norm of its gradient before clipping.
  Metric norm;
  Adam adam;
};

// Networks, target networks, optimisers and running scales of one updater, as its config asks for
// them. Not thread-safe; neither copied nor moved, since gradients and optimisers share its
// tensors.
struct Learnables {
  Learnables(model::WorldModel fresh, uint64_t initial_seed);
  Learnables(const Learnables&) = delete;
  Learnables& operator=(const Learnables&) = delete;

  // These do what Updater promises under the same names.
  UpdaterState Export();
  absl::Status Import(const UpdaterState& state);
  absl::Status Keep();
  void GoBack();
  absl::Status Synchronize(Ranks& ranks);
  int64_t Checksum();

  // The value head that the policy's loss uses.
  const ValueHead& PolicyHead() const;
  // nullptr where there is no learned prior, or it was never trained: its Gaussian means nothing.
  const model::Mlp* TrainedPrior() const { return prior && prior_trained ? &*prior : nullptr; }
  // Copies of the gradients of all parameters that optimisers step, named as the parameters; those
  // of the prior only if wanted.
  model::NamedTensors Gradients(bool with_prior);

  uint64_t seed;
  // Updates made.
  uint64_t updates = 0;
  // 1 once the prior has been trained, otherwise 0.
  uint64_t prior_trained = 0;

  model::WorldModel world_model;
  // The plain Q, whose online network is the world model's, then the others.
  std::vector<ValueHead> heads;
  // nullopt without a learned prior.
  std::optional<model::Mlp> prior;
  // In the order of the file.
  std::vector<Optimizer> optimizers;
  RunningScale value_scale, kl_scale;

 private:
  // One vector of numbers of the state, and how a checkpoint divides and names it.
  struct Vector {
    // The loss whose gradient changes it.
    const char* loss;
    at::Tensor numbers;
    model::NamedTensors tensors;
    // Undefined for what no optimiser steps.
    at::Tensor gradient;
  };
  struct Counter {
    std::string name;
    uint64_t* value;
  };
  struct State {
    std::vector<Vector> vectors;
    std::vector<Counter> counters;
  };
  // All of the state, as views, in the order of the file. What a checkpoint stores, what Keep puts
  // aside and what ranks must agree on is what stands here, and nothing else.
  State Visit();
  model::NamedTensors Tensors();
  const Adam& AdamOf(const char* loss) const;
  void CheckInvariants();

  // The copies that Keep made, in the order of Visit(); empty before.
  std::vector<at::Tensor> kept_numbers_;
  std::vector<uint64_t> kept_counters_;
};

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_LEARNABLES_H_
