#include "learner/update/probe.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/array_inputs.h"
#include "model/ops.h"
#include "model/planning/trajectories.h"

namespace pompc::update {
namespace {

using model::NamedTensors;

// Returns the rule that the numbers of an input break, or nothing. Those of plans have none, since
// rows without a plan may hold anything in its place.
std::string Rule(const std::string& name, const at::Tensor& x) {
  if (name == "plan_age") {
    return at::logical_and(x >= 0, x.isfinite()).all().item<bool>() ? "" : "must be 0 or more";
  }
  if (!x.is_floating_point() || absl::StartsWith(name, "plan_")) return "";
  if (name == "actions" || name == "sequences") {
    return at::logical_and(x >= -1, x <= 1).all().item<bool>() ? "" : "must be in [-1, 1]";
  }
  return at::isfinite(x).all().item<bool>() ? "" : "must be finite";
}

using Inputs = model::ArrayInputs;

// [B, T, ...] <-> [T * B, ...]: files have the windows first, the update's rows the steps.
at::Tensor ToRows(const at::Tensor& x) { return x.transpose(0, 1).flatten(0, 1); }
at::Tensor FromRows(const at::Tensor& rows, const Windows& windows) {
  return rows.detach().unflatten(0, {rows.size(0) / windows.batch, windows.batch}).transpose(0, 1);
}

Batch TakeBatch(const proto::EnvSpec& spec, Inputs* inputs) {
  Batch batch;
  batch.actions = inputs->Take("actions", at::kFloat, {-1, -1, spec.action_size()});
  if (!inputs->ok()) return batch;
  const int64_t b = batch.actions.size(0);
  const int64_t h = batch.actions.size(1);
  batch.observations =
      inputs->Take("observations", at::kFloat, {b, h + 1, spec.observation_size()});
  batch.rewards = inputs->Take("rewards", at::kFloat, {b, h});
  batch.terminated = inputs->Take("terminated", at::kBool, {b, h});
  batch.plan_mean = inputs->Take("plan_mean", at::kFloat, {b, h + 1, spec.action_size()});
  batch.plan_std = inputs->Take("plan_std", at::kFloat, {b, h + 1, spec.action_size()});
  batch.has_plan = inputs->Take("has_plan", at::kBool, {b, h + 1});
  if (inputs->Has("plan_age")) batch.plan_age = inputs->Take("plan_age", at::kFloat, {b});
  return batch;
}

std::vector<int64_t> Numbers(const at::Tensor& x) {
  const at::Tensor flat = x.contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}

Draws TakeDraws(const proto::RunConfig& config, const Batch& batch, Inputs* inputs) {
  const int64_t b = batch.actions.size(0);
  const int64_t a = batch.actions.size(2);
  const DrawShapes shapes = ShapesOf(config, {batch.actions.size(1), b});
  const at::Tensor target_noise =
      inputs->Take("target_noise", at::kFloat, {b, shapes.target_states, a});
  const at::Tensor target_members = inputs->Take("target_members", at::kLong, {-1});
  const at::Tensor policy_noise =
      inputs->Take("policy_noise", at::kFloat, {b, shapes.policy_states, a});
  at::Tensor prior_noise, policy_members;
  if (shapes.prior_noise)
    prior_noise = inputs->Take("prior_noise", at::kFloat, {b, shapes.policy_states, a});
  if (shapes.policy_members) policy_members = inputs->Take("policy_members", at::kLong, {-1});
  Draws draws;
  if (!inputs->ok()) return draws;
  draws.target_noise = ToRows(target_noise);
  draws.target_members = target_members;
  draws.policy_noise = ToRows(policy_noise);
  if (prior_noise.defined()) draws.prior_noise = ToRows(prior_noise);
  draws.policy_members = policy_members;
  return draws;
}

struct Sequences {
  at::Tensor actions;  // [B, N, P, A]; undefined: none
  model::TrajectoryDraws draws;
};

Sequences TakeSequences(const proto::EnvSpec& spec, const Batch& batch, Inputs* inputs) {
  Sequences sequences;
  if (!inputs->Has("sequences")) return sequences;
  const int64_t b = batch.actions.size(0);
  sequences.actions = inputs->Take("sequences", at::kFloat, {b, -1, -1, spec.action_size()});
  if (!inputs->ok()) return sequences;
  sequences.draws.noise = inputs->Take("sequence_noise", at::kFloat,
                                       {b, sequences.actions.size(1), spec.action_size()});
  const at::Tensor members = inputs->Take("sequence_members", at::kLong, {b, 2});
  if (inputs->ok()) sequences.draws.members = members.flatten();
  return sequences;
}

absl::Status CheckMembers(const Sequences& sequences, int num_q) {
  if (!sequences.draws.members.defined()) return absl::OkStatus();
  for (const int64_t member : Numbers(sequences.draws.members)) {
    if (member >= 0 && member < num_q) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("sequence_members has ", member, "; allowed: 0 to ", num_q - 1));
  }
  return absl::OkStatus();
}

// Running scales among the inputs take the place of the updater's: by way of its state, so that
// they are checked as those of a checkpoint are.
absl::Status TakeScales(Inputs* inputs, Updater* updater) {
  UpdaterState state = updater->Export();
  for (const auto& [array, tensor] :
       {std::pair("value_scale", "scale.value"), std::pair("kl_scale", "scale.kl")}) {
    if (!inputs->Has(array)) continue;
    const at::Tensor scale = inputs->Take(array, at::kFloat, {});
    for (model::NamedTensor& named : state.tensors) {
      if (named.name == tensor && scale.defined()) named.tensor = scale;
    }
  }
  return inputs->ok() ? updater->Import(state) : absl::OkStatus();
}

void AddPredictions(const Evaluation& e, const std::vector<ValueHead>& heads,
                    const model::Bins& bins, NamedTensors* out) {
  const auto rows = [&](const std::string& name, const at::Tensor& x) {
    if (x.defined()) out->push_back({name, FromRows(x, e.windows)});
  };
  rows("latents", e.losses.latents);
  rows("next_latents", e.targets.next_latents);
  rows("predicted_rewards", model::TwoHotDecode(e.losses.reward_logits.detach(), bins));
  for (size_t i = 0; i < heads.size(); ++i) {
    const at::Tensor values = model::TwoHotDecode(e.losses.value_logits[i].detach(), bins);
    out->push_back({absl::StrCat(heads[i].name, "s"),
                    values.unflatten(1, {e.windows.horizon, e.windows.batch}).transpose(1, 2)});
  }
  for (size_t i = 0; i < heads.size(); ++i)
    rows(absl::StrCat(heads[i].name, "_targets"), e.targets.values[i]);
  rows("policy_mean", e.policy.gaussian.mean);
  rows("policy_log_std", e.policy.gaussian.log_std);
  rows("policy_actions", e.policy.actions);
  rows("policy_values", e.policy.values);
  rows("policy_kl", e.policy.kl);
  rows("policy_entropy", e.policy.entropy);
  if (!e.prior) return;
  rows("prior_mean", e.prior->gaussian.mean);
  rows("prior_log_std", e.prior->gaussian.log_std);
  rows("prior_kl", e.prior->kl);
}

void AddLosses(const Evaluation& e, NamedTensors* out) {
  const auto add = [&](const std::string& name, const at::Tensor& x) {
    out->push_back({name, x.detach()});
  };
  add("loss.total", e.total);
  for (const LossTerm& term : e.losses.terms) add(absl::StrCat("loss.", term.name), term.loss);
  if (e.prior) add("loss.prior", e.prior->loss);
  add("loss.policy", e.policy_loss);
  add("value_scale", e.value_scale);
  add("kl_scale", e.kl_scale);
  for (const model::NamedTensor& named : e.gradients)
    out->push_back({"gradient_norm." + named.name, named.tensor.norm()});
}

at::Tensor SequenceValues(const Updater& updater, const Batch& batch, Sequences sequences) {
  at::NoGradGuard no_grad;
  const model::WorldModel& model = updater.model();
  const at::TensorOptions options = model.flat().options();
  const at::Tensor latents = model.Encode(batch.observations.select(1, 0).to(options));
  sequences.draws.noise = sequences.draws.noise.to(options);
  sequences.draws.members = sequences.draws.members.to(options.device());
  return model::TrajectoryValues(model, updater.config().learner().discount(), latents,
                                 sequences.actions.to(options), sequences.draws);
}

}  // namespace

absl::StatusOr<NamedTensors> Probe(Updater* updater, const NamedTensors& arrays) {
  const model::WorldModel& model = updater->model();
  Inputs inputs(arrays, Rule);
  const Batch batch = TakeBatch(model.config().env().spec(), &inputs);
  if (!inputs.ok()) return inputs.status();
  Draws draws = TakeDraws(updater->config(), batch, &inputs);
  const Sequences sequences = TakeSequences(model.config().env().spec(), batch, &inputs);
  absl::Status status = TakeScales(&inputs, updater);
  status.Update(inputs.status());
  status.Update(CheckMembers(sequences, model.config().model().num_q()));
  if (!status.ok()) return status;

  draws.target_noise = draws.target_noise.to(model.flat().options());
  draws.policy_noise = draws.policy_noise.to(model.flat().options());
  if (draws.prior_noise.defined()) draws.prior_noise = draws.prior_noise.to(model.flat().options());
  const absl::StatusOr<Evaluation> evaluation = updater->Evaluate(batch, draws);
  if (!evaluation.ok()) return evaluation.status();
  NamedTensors result;
  AddPredictions(*evaluation, updater->heads(), model::BinsOf(model.config().model()), &result);
  if (sequences.actions.defined()) {
    result.push_back({"sequence_values", SequenceValues(*updater, batch, sequences)});
  }
  AddLosses(*evaluation, &result);
  return result;
}

}  // namespace pompc::update
