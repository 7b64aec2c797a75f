#include "learner/update/learnables.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/values/not_finite.h"
#include "common/values/split_mix.h"
#include "learner/update/family.h"

namespace pompc::update {
namespace {

using model::Mlp;
using model::MlpSpec;
using model::NamedTensors;

// TD-MPC2's policy optimiser differs from the others in this alone.
constexpr double kPolicyEpsilon = 1e-5;
constexpr double kEpsilon = 1e-8;

// A network of its own, on the device and in the dtype of `like`.
Mlp MakeNetwork(MlpSpec spec, const char* name, const at::Tensor& like) {
  spec.name = name;
  return Mlp(spec, at::zeros({spec.NumParameters()}, like.options()));
}

// The same with the parameters of `source`.
Mlp CopyNetwork(const Mlp& source, const char* name) {
  at::NoGradGuard no_grad;
  Mlp copy = MakeNetwork(source.spec(), name, source.flat());
  copy.flat().copy_(source.flat());
  return copy;
}

Adam MakeAdam(const at::Tensor& parameters, double epsilon, const proto::LearnerConfig& config) {
  return Adam(parameters,
              {{{parameters.numel(), config.learning_rate()}}, epsilon, config.max_grad_norm()});
}

// Of encoder, dynamics, reward, termination and plain values: all but the policy, which lies last.
Adam MakeModelAdam(const model::WorldModel& model) {
  const proto::LearnerConfig& config = model.config().learner();
  const int64_t encoder = model.encoder().flat().numel();
  const int64_t rest = model.flat().numel() - encoder - model.policy().flat().numel();
  const double lr = config.learning_rate();
  return Adam(
      model.flat().narrow(0, 0, encoder + rest),
      {{{encoder, lr * config.encoder_lr_scale()}, {rest, lr}}, kEpsilon, config.max_grad_norm()});
}

void Append(NamedTensors part, NamedTensors& all) {
  for (model::NamedTensor& named : part) all.push_back(std::move(named));
}

// Losses whose vectors hold NaN or infinity, each once. One wait for the device.
std::vector<std::string> NotFinite(const std::vector<const char*>& losses,
                                   const std::vector<at::Tensor>& largest) {
  const at::Tensor on_host = at::stack(largest).to(at::kCPU, at::kDouble);
  std::vector<std::string> names;
  for (size_t i = 0; i < losses.size(); ++i) {
    if (std::isfinite(on_host[static_cast<int64_t>(i)].item<double>())) continue;
    if (std::find(names.begin(), names.end(), losses[i]) == names.end())
      names.emplace_back(losses[i]);
  }
  return names;
}

}  // namespace

std::string TensorProblem(const model::NamedTensor& named) {
  const at::Tensor& numbers = named.tensor;
  if (!at::isfinite(numbers).all().item<bool>()) return "must be finite";
  // Their root is what a step is divided by.
  if (absl::StartsWith(named.name, "adam.") && absl::EndsWith(named.name, ".v") &&
      numbers.lt(0).any().item<bool>()) {
    return "must be 0 or more";
  }
  if (absl::StartsWith(named.name, "scale.") && numbers.le(0).any().item<bool>()) {
    return "must be above 0";
  }
  return "";
}

std::string CounterProblem(const std::string& name, const std::string& text) {
  if (name == "updater.format") return text == "1" ? "" : "must be 1";
  if (name == "updater.prior_trained") return text == "0" || text == "1" ? "" : "must be 0 or 1";
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  // Counters are int64 where they are used.
  const uint64_t most = std::numeric_limits<uint64_t>::max() >> (name == "updater.seed" ? 0 : 1);
  uint64_t value = 0;
  if (digits && absl::SimpleAtoi(text, &value) && value <= most) return "";
  return absl::StrCat("must be a whole number from 0 to ", most);
}

absl::Status CheckValues(const UpdaterState& state) {
  for (const model::NamedTensor& named : state.tensors) {
    if (const std::string rule = TensorProblem(named); !rule.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor \"", named.name, "\": all its numbers ", rule));
    }
  }
  for (const auto& [name, text] : state.metadata) {
    if (!absl::StartsWith(name, "updater.")) continue;
    if (const std::string rule = CounterProblem(name, text); !rule.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("metadata \"", name, "\" is \"", text, "\": ", rule));
    }
  }
  return absl::OkStatus();
}

Learnables::Learnables(model::WorldModel fresh, uint64_t initial_seed)
    : seed(initial_seed),
      world_model(std::move(fresh)),
      q_target(CopyNetwork(world_model.q(), "q_target")),
      model_adam(MakeModelAdam(world_model)),
      policy_adam(
          MakeAdam(world_model.policy().flat(), kPolicyEpsilon, world_model.config().learner())),
      value_scale(world_model.config().learner().tau(), world_model.flat().options()),
      kl_scale(world_model.config().learner().tau(), world_model.flat().options()) {
  at::NoGradGuard no_grad;
  const proto::RunConfig& config = world_model.config();
  world_model.EnableGradients(model_adam.gradients(), policy_adam.gradients());
  if (HasRegularizedValues(config.po_mpc())) {
    // Starts as a copy of the plain ensemble: with lambda = 0 the two stay equal.
    regularized.emplace(CopyNetwork(world_model.q(), "regularized_q"));
    regularized_target.emplace(CopyNetwork(world_model.q(), "regularized_q_target"));
    regularized_adam.emplace(MakeAdam(regularized->flat(), kEpsilon, config.learner()));
    regularized->EnableGradients(regularized_adam->gradients());
  }
  if (HasLearnedPrior(config.po_mpc())) {
    const model::MlpSpec spec = model::PolicySpec(config);
    prior.emplace(MakeNetwork(spec, "prior", world_model.flat()));
    prior->Initialize(seed);
    prior_adam.emplace(MakeAdam(prior->flat(), kEpsilon, config.learner()));
    prior->EnableGradients(prior_adam->gradients());
  }
}

std::vector<Learnables::Optimizer> Learnables::Optimizers() {
  std::vector<Optimizer> optimizers = {{"model", &model_adam}, {"policy", &policy_adam}};
  if (regularized_adam) optimizers.push_back({"regularized", &*regularized_adam});
  if (prior_adam) optimizers.push_back({"prior", &*prior_adam});
  return optimizers;
}

NamedTensors Learnables::Tensors() {
  NamedTensors tensors = world_model.Parameters();
  Append(q_target.Parameters(), tensors);
  if (regularized) {
    Append(regularized->Parameters(), tensors);
    Append(regularized_target->Parameters(), tensors);
  }
  if (prior) Append(prior->Parameters(), tensors);
  for (const Optimizer& optimizer : Optimizers()) {
    Append(optimizer.adam->State(absl::StrCat("adam.", optimizer.name)), tensors);
  }
  tensors.push_back({"scale.value", value_scale.value()});
  tensors.push_back({"scale.kl", kl_scale.value()});
  return tensors;
}

UpdaterState Learnables::Export() {
  UpdaterState state;
  for (const model::NamedTensor& named : Tensors()) {
    state.tensors.push_back(
        {named.name, named.tensor.detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true)});
  }
  state.metadata["updater.format"] = "1";
  state.metadata["updater.seed"] = absl::StrCat(seed);
  state.metadata["updater.update_count"] = absl::StrCat(updates);
  state.metadata["updater.prior_trained"] = prior_trained ? "1" : "0";
  for (const Optimizer& optimizer : Optimizers()) {
    state.metadata[absl::StrCat("updater.adam_steps.", optimizer.name)] =
        absl::StrCat(optimizer.adam->steps());
  }
  return state;
}

absl::Status Learnables::Import(const UpdaterState& state) {
  // Read everything before changing anything.
  absl::Status status = CheckValues(state);
  const auto number = [&](const std::string& name) {
    const std::string key = absl::StrCat("updater.", name);
    const auto found = state.metadata.find(key);
    uint64_t value = 0;
    if (found == state.metadata.end()) {
      status.Update(absl::InvalidArgumentError(absl::StrCat("metadata \"", key, "\" is missing")));
    } else if (!absl::SimpleAtoi(found->second, &value)) {
      status.Update(
          absl::InvalidArgumentError(absl::StrCat("metadata \"", key, "\" is no number")));
    }
    return value;
  };
  number("format");
  const uint64_t new_seed = number("seed");
  const uint64_t new_updates = number("update_count");
  const bool new_prior_trained = number("prior_trained") != 0;
  std::vector<std::pair<Adam*, uint64_t>> steps;
  for (const auto& [name, adam] : Optimizers())
    steps.emplace_back(adam, number(absl::StrCat("adam_steps.", name)));
  if (status.ok()) status = model::CopyTensors(state.tensors, Tensors());
  if (!status.ok()) return status;

  seed = new_seed;
  updates = static_cast<int64_t>(new_updates);
  prior_trained = new_prior_trained;
  for (const auto& [adam, count] : steps) adam->set_steps(static_cast<int64_t>(count));
  return absl::OkStatus();
}

std::vector<Learnables::Vector> Learnables::Vectors() {
  std::vector<Vector> vectors;
  const auto add = [&](const char* loss, const Adam& adam) {
    for (const at::Tensor& tensor : adam.Vectors()) vectors.push_back({loss, tensor});
  };
  add(kModelLoss, model_adam);
  vectors.push_back({kModelLoss, q_target.flat()});
  if (regularized) {
    add(kRegularizedValueLoss, *regularized_adam);
    vectors.push_back({kRegularizedValueLoss, regularized_target->flat()});
  }
  if (prior) add(kPriorLoss, *prior_adam);
  add(kPolicyLoss, policy_adam);
  for (const RunningScale* scale : {&value_scale, &kl_scale})
    vectors.push_back({kPolicyLoss, scale->value().view({1})});
  return vectors;
}

absl::Status Learnables::Keep() {
  at::NoGradGuard no_grad;
  const std::vector<Vector> vectors = Vectors();
  std::vector<const char*> losses;
  std::vector<at::Tensor> largest;
  for (const Vector& vector : vectors) {
    // Both ends are NaN if any number is.
    const auto [low, high] = vector.tensor.detach().aminmax();
    losses.insert(losses.end(), 2, vector.loss);
    largest.insert(largest.end(), {low, high});
  }
  if (const std::vector<std::string> names = NotFinite(losses, largest); !names.empty()) {
    return NotFiniteError(
        names[0], absl::StrCat("what the losses changed is not finite after update ", updates, ": ",
                               absl::StrJoin(names, ", ")));
  }
  kept_.tensors.resize(vectors.size());
  for (size_t i = 0; i < vectors.size(); ++i) {
    at::Tensor& kept = kept_.tensors[i];
    if (!kept.defined()) kept = at::empty_like(vectors[i].tensor.detach());
    kept.copy_(vectors[i].tensor);
  }
  kept_.updates = updates;
  kept_.prior_trained = prior_trained;
  kept_.steps.clear();
  for (const Optimizer& optimizer : Optimizers()) kept_.steps.push_back(optimizer.adam->steps());
  return absl::OkStatus();
}

void Learnables::GoBack() {
  at::NoGradGuard no_grad;
  const std::vector<Vector> vectors = Vectors();
  for (size_t i = 0; i < vectors.size(); ++i) {
    at::Tensor tensor = vectors[i].tensor;
    tensor.copy_(kept_.tensors.at(i));
  }
  updates = kept_.updates;
  prior_trained = kept_.prior_trained;
  size_t i = 0;
  for (const Optimizer& optimizer : Optimizers()) optimizer.adam->set_steps(kept_.steps[i++]);
}

int64_t Learnables::Checksum() {
  at::NoGradGuard no_grad;
  uint64_t checksum = static_cast<uint64_t>(updates);
  for (const Optimizer& optimizer : Optimizers()) {
    const at::Tensor parameters = optimizer.adam->Vectors().front().detach();
    const at::ScalarType bits = parameters.scalar_type() == at::kDouble ? at::kLong : at::kInt;
    const auto sum = parameters.view(bits).sum(at::kLong).item<int64_t>();
    checksum = SplitMixBits(checksum + static_cast<uint64_t>(sum));
  }
  return static_cast<int64_t>(checksum);
}

absl::Status Learnables::Synchronize(Ranks& ranks) {
  const NamedTensors tensors = Tensors();
  int64_t numbers = 0;
  for (const model::NamedTensor& named : tensors) numbers += named.tensor.numel();
  const absl::StatusOr<at::Tensor> sizes = ranks.Gather(at::full({1}, numbers, at::kLong));
  if (!sizes.ok()) return sizes.status();
  for (int64_t rank = 0; rank < ranks.size(); ++rank) {
    const auto others = (*sizes)[rank].item<int64_t>();
    if (others == numbers) continue;
    return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " has a state of ", others,
                                                   " numbers, rank ", ranks.rank(), " of ",
                                                   numbers));
  }
  absl::Status status;
  for (const model::NamedTensor& named : tensors) {
    if (status.ok()) status = ranks.Broadcast(named.tensor);
  }
  std::vector<int64_t> counts = {static_cast<int64_t>(seed), updates, prior_trained ? 1 : 0};
  for (const Optimizer& optimizer : Optimizers()) counts.push_back(optimizer.adam->steps());
  const at::Tensor scalars = at::tensor(counts, at::kLong);
  if (status.ok()) status = ranks.Broadcast(scalars);
  if (!status.ok()) return status;
  const int64_t* scalar = scalars.data_ptr<int64_t>();
  seed = static_cast<uint64_t>(*scalar++);
  updates = *scalar++;
  prior_trained = *scalar++ != 0;
  for (const Optimizer& optimizer : Optimizers()) optimizer.adam->set_steps(*scalar++);
  return absl::OkStatus();
}

}  // namespace pompc::update
