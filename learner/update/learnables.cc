#include "learner/update/learnables.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/values/not_finite.h"
#include "common/values/split_mix.h"

namespace pompc::update {
namespace {

using model::Mlp;
using model::MlpSpec;
using model::NamedTensor;
using model::NamedTensors;

// TD-MPC2's policy optimiser differs from the others in this alone.
constexpr double kPolicyEpsilon = 1e-5;
constexpr double kEpsilon = 1e-8;

constexpr char kFormat[] = "updater.format";

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

// Steps encoder, dynamics, reward, termination and plain values: all but the policy, which lies
// last.
Adam MakeModelAdam(const model::WorldModel& model) {
  const proto::LearnerConfig& config = model.config().learner();
  const int64_t encoder = model.encoder().flat().numel();
  const int64_t rest = model.flat().numel() - encoder - model.policy().flat().numel();
  const double lr = config.learning_rate();
  return Adam(
      model.flat().narrow(0, 0, encoder + rest),
      {{{encoder, lr * config.encoder_lr_scale()}, {rest, lr}}, kEpsilon, config.max_grad_norm()});
}

}  // namespace

// The two functions below say what no update could have made. `pompc checkpoint import` and the
// engine's Import ask them, so that a state which would spoil a run is refused by name and rule.
std::string TensorProblem(const model::NamedTensor& named) {
  const at::Tensor& numbers = named.tensor;
  if (!at::isfinite(numbers).all().item<bool>()) return "must be finite";
  // A step is divided by their root.
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
  if (name == kFormat) return text == "1" ? "" : "must be 1";
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
      value_scale(world_model.config().learner().tau(), world_model.flat().options()),
      kl_scale(world_model.config().learner().tau(), world_model.flat().options()) {
  using M = UpdateMetrics;
  at::NoGradGuard no_grad;
  const proto::RunConfig& config = world_model.config();
  // Heads, prior and optimisers are what the config's place in the family needs, and no more: what
  // stands in these lists is trained, stored and reported.
  const auto add_optimizer = [&](const char* name, const char* loss, UpdateStep step, Metric norm,
                                 Adam adam) {
    optimizers.push_back({name, loss, step, norm, std::move(adam)});
    return optimizers.back().adam.gradients();
  };
  const at::Tensor model_gradients = add_optimizer(
      "model", kModelLoss, UpdateStep::kModel, &M::model_gradient_norm, MakeModelAdam(world_model));
  const at::Tensor policy_gradients =
      add_optimizer("policy", kPolicyLoss, UpdateStep::kPolicy, &M::policy_gradient_norm,
                    MakeAdam(world_model.policy().flat(), kPolicyEpsilon, config.learner()));
  world_model.EnableGradients(model_gradients, policy_gradients);

  const bool regularized = HasRegularizedValues(config.po_mpc());
  heads.push_back({.name = "value",
                   .loss = kModelLoss,
                   .online = world_model.q(),
                   .target = CopyNetwork(world_model.q(), "q_target"),
                   .judges_policy = !regularized,
                   .columns = {.loss = &M::value_loss,
                               .target = &M::value_target,
                               .clamped = &M::clamped_targets,
                               .prediction = &M::value}});
  if (regularized) {
    // Starts as a copy of the plain ensemble, and its optimiser clips its gradient apart: with
    // lambda = 0 the two stay equal bit for bit.
    Mlp online = CopyNetwork(world_model.q(), "regularized_q");
    online.EnableGradients(add_optimizer("regularized", kRegularizedValueLoss, UpdateStep::kModel,
                                         &M::regularized_value_gradient_norm,
                                         MakeAdam(online.flat(), kEpsilon, config.learner())));
    heads.push_back({.name = "regularized_value",
                     .loss = kRegularizedValueLoss,
                     .online = online,
                     .target = CopyNetwork(world_model.q(), "regularized_q_target"),
                     .penalized = true,
                     .trains_latents = config.po_mpc().regularized_value_gradient(),
                     .judges_policy = true,
                     .columns = {.loss = &M::regularized_value_loss,
                                 .target = &M::regularized_value_target,
                                 .clamped = &M::clamped_regularized_targets}});
  }
  if (HasLearnedPrior(config.po_mpc())) {
    prior.emplace(MakeNetwork(model::PolicySpec(config), "prior", world_model.flat()));
    prior->Initialize(seed);
    prior->EnableGradients(add_optimizer("prior", kPriorLoss, UpdateStep::kPrior,
                                         &M::prior_gradient_norm,
                                         MakeAdam(prior->flat(), kEpsilon, config.learner())));
  }
  CheckInvariants();
}

Learnables::State Learnables::Visit() {
  State state;
  const auto add = [&](const char* loss, const at::Tensor& numbers, NamedTensors tensors,
                       const at::Tensor& gradient = at::Tensor()) {
    state.vectors.push_back({loss, numbers, std::move(tensors), gradient});
  };
  const auto add_stepped = [&](const char* loss, NamedTensors tensors) {
    const Adam& adam = AdamOf(loss);
    add(loss, adam.parameters(), std::move(tensors), adam.gradients());
  };

  // Networks: the world model, whose policy has an optimiser of its own, then what stands beside
  // it. Parameters that an optimiser steps come as its vector, so that one copy or one reduction
  // takes a whole network.
  const NamedTensors of_policy = world_model.policy().Parameters();
  NamedTensors of_model = world_model.Parameters();
  of_model.erase(of_model.end() - static_cast<std::ptrdiff_t>(of_policy.size()), of_model.end());
  add_stepped(kModelLoss, std::move(of_model));
  add_stepped(kPolicyLoss, of_policy);
  for (const ValueHead& head : heads) {
    const bool in_world_model = &head == &heads.front();
    if (!in_world_model) add_stepped(head.loss, head.online.Parameters());
    add(head.loss, head.target.flat(), head.target.Parameters());
  }
  if (prior) add_stepped(kPriorLoss, prior->Parameters());

  for (Optimizer& optimizer : optimizers) {
    for (const NamedTensor& moment : optimizer.adam.Moments(absl::StrCat("adam.", optimizer.name)))
      add(optimizer.loss, moment.tensor, {moment});
  }
  add(kPolicyLoss, value_scale.value().view({1}), {{"scale.value", value_scale.value()}});
  add(kPolicyLoss, kl_scale.value().view({1}), {{"scale.kl", kl_scale.value()}});

  state.counters = {{"updater.seed", &seed},
                    {"updater.update_count", &updates},
                    {"updater.prior_trained", &prior_trained}};
  for (Optimizer& optimizer : optimizers) {
    state.counters.push_back(
        {absl::StrCat("updater.adam_steps.", optimizer.name), &optimizer.adam.steps()});
  }
  return state;
}

const Adam& Learnables::AdamOf(const char* loss) const {
  const auto found =
      std::find_if(optimizers.begin(), optimizers.end(),
                   [&](const Optimizer& optimizer) { return optimizer.loss == loss; });
  POMPC_CHECK(found != optimizers.end(), loss);
  return found->adam;
}

const ValueHead& Learnables::PolicyHead() const {
  const auto found = std::find_if(heads.begin(), heads.end(),
                                  [](const ValueHead& head) { return head.judges_policy; });
  POMPC_CHECK(found != heads.end());
  return *found;
}

NamedTensors Learnables::Tensors() {
  NamedTensors tensors;
  for (const Vector& vector : Visit().vectors)
    tensors.insert(tensors.end(), vector.tensors.begin(), vector.tensors.end());
  return tensors;
}

NamedTensors Learnables::Gradients(bool with_prior) {
  NamedTensors gradients;
  for (const Vector& vector : Visit().vectors) {
    if (!vector.gradient.defined() || (vector.loss == kPriorLoss && !with_prior)) continue;
    int64_t begin = 0;
    for (const NamedTensor& named : vector.tensors) {
      const int64_t count = named.tensor.numel();
      gradients.push_back(
          {named.name, vector.gradient.narrow(0, begin, count).view(named.tensor.sizes()).clone()});
      begin += count;
    }
  }
  return gradients;
}

void Learnables::CheckInvariants() {
  // Export writes the named tensors and Keep copies the vectors: they must be the same numbers, in
  // the same order.
  for (const Vector& vector : Visit().vectors) {
    int64_t covered = vector.numbers.storage_offset();
    for (const NamedTensor& named : vector.tensors) {
      POMPC_CHECK(named.tensor.is_alias_of(vector.numbers), named.name);
      POMPC_CHECK_EQ(named.tensor.storage_offset(), covered, named.name);
      covered += named.tensor.numel();
    }
    POMPC_CHECK_EQ(covered - vector.numbers.storage_offset(), vector.numbers.numel());
    POMPC_CHECK(!vector.gradient.defined() || vector.gradient.numel() == vector.numbers.numel());
  }
  for (const ValueHead& head : heads)
    POMPC_CHECK_EQ(head.online.flat().numel(), head.target.flat().numel(), head.name);
}

// Copies, also where the state is on the CPU: another thread writes the file while updates go on.
UpdaterState Learnables::Export() {
  UpdaterState state;
  for (const NamedTensor& named : Tensors()) {
    state.tensors.push_back(
        {named.name, named.tensor.detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true)});
  }
  state.metadata[kFormat] = "1";
  for (const Counter& counter : Visit().counters)
    state.metadata[counter.name] = absl::StrCat(*counter.value);
  return state;
}

absl::Status Learnables::Import(const UpdaterState& state) {
  // Everything is read before anything changes. A checkpoint comes from a disk and can have been
  // edited (`pompc checkpoint import`): whatever is wrong with it is a status, never a failed
  // check.
  absl::Status status = CheckValues(state);
  const auto number = [&](const std::string& name) {
    const auto found = state.metadata.find(name);
    uint64_t value = 0;
    if (found == state.metadata.end()) {
      status.Update(absl::InvalidArgumentError(absl::StrCat("metadata \"", name, "\" is missing")));
    } else if (!absl::SimpleAtoi(found->second, &value)) {
      status.Update(
          absl::InvalidArgumentError(absl::StrCat("metadata \"", name, "\" is no number")));
    }
    return value;
  };
  number(kFormat);
  const std::vector<Counter> counters = Visit().counters;
  std::vector<uint64_t> values;
  for (const Counter& counter : counters) values.push_back(number(counter.name));
  if (status.ok()) status = model::CopyTensors(state.tensors, Tensors());
  if (!status.ok()) return status;
  for (size_t i = 0; i < counters.size(); ++i) *counters[i].value = values[i];
  return absl::OkStatus();
}

// What was kept is what a learner falls back on, publishes and writes: so the whole state is looked
// at before the copy of before is overwritten, optimisers' moments included.
absl::Status Learnables::Keep() {
  at::NoGradGuard no_grad;
  const State state = Visit();
  // The smallest and the largest number of each vector, both NaN if any number is, in one tensor:
  // one wait for the device.
  std::vector<at::Tensor> extremes;
  for (const Vector& vector : state.vectors) {
    const auto [low, high] = vector.numbers.detach().aminmax();
    extremes.insert(extremes.end(), {low, high});
  }
  const at::Tensor finite = at::stack(extremes).isfinite().to(at::kCPU);
  std::vector<std::string> spoilt;
  for (const char* loss : kLosses) {
    bool ok = true;
    for (size_t i = 0; i < extremes.size(); ++i) {
      if (state.vectors[i / 2].loss == loss) ok &= finite.data_ptr<bool>()[i];
    }
    if (!ok) spoilt.emplace_back(loss);
  }
  if (!spoilt.empty()) {
    return NotFiniteError(
        spoilt[0], absl::StrCat("what the losses changed is not finite after update ", updates,
                                ": ", absl::StrJoin(spoilt, ", ")));
  }
  kept_numbers_.resize(state.vectors.size());
  for (size_t i = 0; i < state.vectors.size(); ++i) {
    at::Tensor& kept = kept_numbers_[i];
    if (!kept.defined()) kept = at::empty_like(state.vectors[i].numbers.detach());
    kept.copy_(state.vectors[i].numbers);
  }
  kept_counters_.clear();
  for (const Counter& counter : state.counters) kept_counters_.push_back(*counter.value);
  return absl::OkStatus();
}

void Learnables::GoBack() {
  POMPC_CHECK(!kept_counters_.empty(), "nothing was kept");
  at::NoGradGuard no_grad;
  const State state = Visit();
  for (size_t i = 0; i < state.vectors.size(); ++i) {
    // In place: networks, optimisers and recordings of updates hold on to this memory.
    at::Tensor numbers = state.vectors[i].numbers;
    numbers.copy_(kept_numbers_.at(i));
  }
  for (size_t i = 0; i < state.counters.size(); ++i) *state.counters[i].value = kept_counters_[i];
}

// Sums of the bits, not of the numbers: those would round, and hide a difference in a small one.
int64_t Learnables::Checksum() {
  at::NoGradGuard no_grad;
  uint64_t checksum = updates;
  for (const Optimizer& optimizer : optimizers) {
    const at::Tensor parameters = optimizer.adam.parameters().detach();
    const at::ScalarType bits = parameters.scalar_type() == at::kDouble ? at::kLong : at::kInt;
    const auto sum = parameters.view(bits).sum(at::kLong).item<int64_t>();
    checksum = SplitMixBits(checksum + static_cast<uint64_t>(sum));
  }
  return static_cast<int64_t>(checksum);
}

absl::Status Learnables::Synchronize(Ranks& ranks) {
  const State state = Visit();
  int64_t numbers = 0;
  for (const Vector& vector : state.vectors) numbers += vector.numbers.numel();
  // A broadcast between ranks whose tensors differ in size would hang or tear: sizes go first.
  POMPC_ASSIGN_OR_RETURN(const at::Tensor sizes, ranks.Gather(at::full({1}, numbers, at::kLong)));
  for (int64_t rank = 0; rank < ranks.size(); ++rank) {
    const auto others = sizes[rank].item<int64_t>();
    if (others == numbers) continue;
    return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " has a state of ", others,
                                                   " numbers, rank ", ranks.rank(), " of ",
                                                   numbers));
  }
  for (const Vector& vector : state.vectors) POMPC_RETURN_IF_ERROR(ranks.Broadcast(vector.numbers));
  // LibTorch's 64 bits are signed: the counters travel as the same bits.
  std::vector<int64_t> counts;
  for (const Counter& counter : state.counters)
    counts.push_back(static_cast<int64_t>(*counter.value));
  const at::Tensor counters = at::tensor(counts, at::kLong);
  POMPC_RETURN_IF_ERROR(ranks.Broadcast(counters));
  for (size_t i = 0; i < state.counters.size(); ++i)
    *state.counters[i].value = static_cast<uint64_t>(counters.data_ptr<int64_t>()[i]);
  return absl::OkStatus();
}

}  // namespace pompc::update
