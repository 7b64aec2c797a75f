#include "learner/update/updater.h"

#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/values/not_finite.h"
#include "learner/update/adam.h"
#include "learner/update/draws.h"
#include "learner/update/family.h"
#include "learner/update/gaussian.h"
#include "learner/update/losses.h"
#include "learner/update/report.h"
#include "learner/update/targets.h"
#include "model/ops.h"

namespace pompc::update {
namespace {

using model::Gaussian;
using model::Mlp;
using proto::PoMpcConfig;

absl::Status GradientError(const char* loss, int64_t update) {
  return NotFiniteError(
      loss, absl::StrCat("the gradient of the ", loss, " loss is not finite in update ", update));
}

// The error with the losses that are not finite themselves.
absl::Status WithLosses(const absl::Status& status, const ModelLosses& losses) {
  std::string names;
  const auto check = [&](const char* name, const at::Tensor& loss) {
    if (loss.defined() && !std::isfinite(loss.item<double>()))
      absl::StrAppend(&names, names.empty() ? "" : ", ", name);
  };
  check("consistency", losses.consistency);
  check("reward", losses.reward);
  check("value", losses.value);
  check("regularized value", losses.regularized_value);
  check("termination", losses.termination);
  const std::string loss = NotFiniteName(status);
  if (names.empty() || loss.empty()) return status;
  return NotFiniteError(
      loss, absl::StrCat(std::string(status.message()), "; losses not finite: ", names));
}

}  // namespace

class Updater::Impl {
 public:
  Impl(model::WorldModel world_model, uint64_t seed)
      : config_(world_model.config()),
        learned_(std::move(world_model), seed),
        model_(learned_.world_model) {
    if (!model_.device().is_cpu()) recorder_ = MakeRecorder(model_.device(), /*records=*/true);
  }

  absl::StatusOr<UpdateMetrics> Step(const Batch& batch, bool want_metrics);
  absl::StatusOr<Evaluation> Evaluate(const Batch& batch, const Draws& draws);

  const proto::RunConfig& config() const { return config_; }
  Learnables& learned() { return learned_; }
  void Join(std::shared_ptr<Ranks> ranks) { ranks_ = std::move(ranks); }
  void SetRecorder(std::unique_ptr<Recorder> recorder) { recorder_ = std::move(recorder); }
  absl::Status Synchronize() { return learned_.Synchronize(*ranks_); }

 private:
  // One update under way.
  struct Occasion {
    const Windows& windows;
    const Draws& draws;
    // Null: not wanted.
    MetricTensors* metrics = nullptr;
    // Whether each gradient is looked at before it is used, which waits for the device.
    bool checked = false;
  };

  at::TensorOptions options() const { return model_.flat().options(); }
  // The sizes of the whole batch, the other ranks' parts included.
  BatchSize WholeBatch(const Batch& batch) const;

  absl::StatusOr<UpdateMetrics> StepDirectly(const Batch& batch, bool want_metrics);
  absl::StatusOr<UpdateMetrics> StepThroughRecorder(const Batch& batch, bool want_metrics);
  // What the host keeps of an update that is about to be made: all that is no operation on tensors.
  void CountSteps(bool any_plan);
  // The operations of an update.
  absl::Status MakeUpdate(const Occasion& now);
  Targets MakeTargets(const Windows& windows, const Draws& draws) const;
  at::Tensor TargetValues(const Mlp& ensemble, const at::Tensor& input,
                          const at::Tensor& members) const;
  at::Tensor Penalties(const Windows& windows, const at::Tensor& latents, const Gaussian& policy,
                       const at::Tensor& noise) const;

  // Losses, and their gradients in the vectors of the optimisers concerned.
  struct ModelPass {
    Targets targets;
    ModelLosses losses;
    at::Tensor total;
  };
  ModelPass DifferentiateModel(const Windows& windows, const Draws& draws);
  PriorLoss DifferentiatePrior(const Windows& windows, const Draws& draws,
                               const at::Tensor& latents);
  struct PolicyPass {
    PolicyTerms terms;
    at::Tensor loss;
  };
  // Updates the running scales on the way, from the numbers of all ranks.
  absl::StatusOr<PolicyPass> DifferentiatePolicy(const Windows& windows, const Draws& draws,
                                                 const at::Tensor& latents, const Gaussian* prior);
  // What the policy is held close to where there is no learned prior: the stored plans, or nothing.
  std::optional<Gaussian> StoredPrior(const Windows& windows) const;
  // With neither values nor plans to follow its entropy would be all: it would grow wide.
  bool PolicyLearns(bool any_plan) const { return config_.po_mpc().alpha() < 1 || any_plan; }
  // Copies of the gradients; with those of the prior or, where the batch trains none, without.
  model::NamedTensors Gradients(bool with_prior) const;

  absl::StatusOr<at::Tensor> StepModel(const Occasion& now);
  absl::StatusOr<Gaussian> StepPrior(const Occasion& now, const at::Tensor& latents);
  absl::Status StepPolicy(const Occasion& now, const at::Tensor& latents, const Gaussian* prior);
  void StepTargets();

  // With other ranks: makes what `windows` say of the plans in the batch that of the whole batch,
  // and checks that the ranks are about to make the same update. INVALID_ARGUMENT naming the rank
  // whose batch has other sizes, INTERNAL naming the one that is at another update.
  absl::Status AgreeWithRanks(Windows& windows) const;
  // The numbers of all ranks one after the other; those of `x` [n] where there are no others.
  absl::StatusOr<at::Tensor> OfAllRanks(const at::Tensor& x) const;
  // The metrics of the whole batch, from those of its equal parts.
  absl::StatusOr<UpdateMetrics> OfWholeBatch(const at::Tensor& packed) const;
  // The gradient of the whole batch's loss, from those of its equal parts.
  absl::Status AverageGradient(Adam& optimizer) const;
  // The random numbers of the next update, of the whole batch.
  RandomNumbers DrawNext(const Batch& batch) const;
  // This rank's part of the draws made of them.
  Draws DrawShare(const RandomNumbers& numbers, const Batch& batch) const;

  // The error names the loss.
  absl::Status StepOptimizer(const Occasion& now, const char* loss, Adam& optimizer,
                             double UpdateMetrics::*norm);

  const proto::RunConfig config_;
  // Null: there are no others.
  std::shared_ptr<Ranks> ranks_;
  // Null: updates are made directly.
  std::unique_ptr<Recorder> recorder_;
  Learnables learned_;
  // Of learned_.
  const model::WorldModel& model_;
};

// Decoded values of two members, reduced as configured, [rows].
at::Tensor Updater::Impl::TargetValues(const Mlp& ensemble, const at::Tensor& input,
                                       const at::Tensor& members) const {
  Mlp::Options options;
  options.members = members;
  const at::Tensor logits = ensemble.Forward(input, options);
  return ReduceMembers(model::TwoHotDecode(logits, model::BinsOf(config_.model())),
                       config_.po_mpc().target_value_reduction());
}

// lambda KL(policy || prior) at states 1..H, [H, B]; 0 where a stored prior is wanted and there is
// none.
at::Tensor Updater::Impl::Penalties(const Windows& windows, const at::Tensor& latents,
                                    const Gaussian& policy, const at::Tensor& noise) const {
  at::Tensor kl;
  if (learned_.prior) {
    const Gaussian prior = model::PolicyFromRaw(learned_.prior->Forward(latents), config_.model());
    kl = GaussianKl(policy, prior, config_.po_mpc().kl_reduction());
  } else {
    const auto later = [&](const at::Tensor& x) {
      return x.narrow(0, windows.batch, latents.size(0));
    };
    const Gaussian planner =
        PlannerGaussian(later(windows.plan_mean), later(windows.plan_std), config_);
    kl = KlToPlanner(policy, config_.model().policy_form(), noise, planner,
                     config_.po_mpc().kl_reduction()) *
         later(windows.has_plan);
  }
  return (kl * Lambda(config_.po_mpc())).view_as(windows.rewards);
}

Targets Updater::Impl::MakeTargets(const Windows& windows, const Draws& draws) const {
  at::NoGradGuard no_grad;
  const proto::ModelConfig::PolicyForm form = config_.model().policy_form();
  const int64_t rows = windows.horizon * windows.batch;
  const bool one_step = config_.po_mpc().target_horizon() == PoMpcConfig::ONE_STEP;
  const bool stored = config_.po_mpc().prior() == PoMpcConfig::REPLAY;
  const bool penalized =
      learned_.regularized && config_.po_mpc().alpha() > 0 && (stored || learned_.prior_trained);
  // States whose values are needed, and those whose policies are.
  const int64_t value_rows = one_step ? rows : windows.batch;
  const int64_t policy_rows = penalized ? rows : value_rows;

  Targets targets;
  targets.next_latents =
      model_.Encode(windows.observations.narrow(0, 1, windows.horizon).flatten(0, 1));
  const at::Tensor latents = targets.next_latents.narrow(0, rows - policy_rows, policy_rows);
  const Gaussian policy = model_.Policy(latents);
  const auto last = [&](const at::Tensor& x) {
    return x.narrow(0, x.size(0) - value_rows, value_rows);
  };
  const at::Tensor actions = model::SampleActions({last(policy.mean), last(policy.log_std)},
                                                  last(draws.target_noise), form);
  const at::Tensor input = at::cat({last(latents), actions}, 1);

  WindowRewards window{windows.rewards, windows.terminated, at::Tensor(),
                       config_.learner().discount()};
  const auto targets_of = [&](const at::Tensor& values) {
    return (one_step ? OneStepTargets(window, values.view_as(windows.rewards))
                     : WindowEndTargets(window, values))
        .flatten();
  };
  targets.values = targets_of(TargetValues(learned_.q_target, input, draws.target_members));
  if (!learned_.regularized) return targets;
  if (penalized) window.penalties = Penalties(windows, latents, policy, draws.target_noise);
  targets.regularized_values =
      targets_of(TargetValues(*learned_.regularized_target, input, draws.target_members));
  return targets;
}

absl::Status Updater::Impl::AgreeWithRanks(Windows& windows) const {
  if (ranks_ == nullptr) return absl::OkStatus();
  const double batch = static_cast<double>(windows.batch);
  const double updates = static_cast<double>(learned_.updates);
  const at::Tensor own = at::tensor(
      {windows.planned_weight.item<double>(), windows.any_plan ? 1.0 : 0.0, batch, updates},
      at::kDouble);
  const absl::StatusOr<at::Tensor> gathered = ranks_->Gather(own.unsqueeze(0));
  if (!gathered.ok()) return gathered.status();
  const auto all = gathered->accessor<double, 2>();
  double planned = 0;
  for (int64_t rank = 0; rank < ranks_->size(); ++rank) {
    planned += all[rank][0] / ranks_->size();
    if (all[rank][1] != 0) windows.any_plan = true;
    if (all[rank][2] != batch) {
      return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " has a batch of ",
                                                     all[rank][2], " windows, rank ",
                                                     ranks_->rank(), " of ", windows.batch));
    }
    if (all[rank][3] != updates) {
      return absl::InternalError(absl::StrCat("rank ", rank, " has made ", all[rank][3],
                                              " updates, rank ", ranks_->rank(), " ",
                                              learned_.updates));
    }
  }
  windows.planned_weight = at::full({}, planned, options());
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> Updater::Impl::OfAllRanks(const at::Tensor& x) const {
  if (ranks_ == nullptr) return x;
  return ranks_->Gather(x);
}

absl::StatusOr<UpdateMetrics> Updater::Impl::OfWholeBatch(const at::Tensor& packed) const {
  if (ranks_ == nullptr) return Unpack(packed);
  const absl::StatusOr<at::Tensor> all = ranks_->Gather(packed.unsqueeze(0));
  if (!all.ok()) return all.status();
  std::vector<UpdateMetrics> parts;
  for (const at::Tensor& part : all->unbind()) parts.push_back(Unpack(part));
  return UpdateMetrics::OfParts(parts);
}

absl::Status Updater::Impl::AverageGradient(Adam& optimizer) const {
  if (ranks_ == nullptr) return absl::OkStatus();
  const absl::Status summed = ranks_->Sum(optimizer.gradients());
  if (summed.ok()) optimizer.gradients().div_(ranks_->size());
  return summed;
}

BatchSize Updater::Impl::WholeBatch(const Batch& batch) const {
  const int64_t shares = ranks_ == nullptr ? 1 : ranks_->size();
  return {batch.actions.size(1), batch.actions.size(0) * shares};
}

RandomNumbers Updater::Impl::DrawNext(const Batch& batch) const {
  return DrawNumbers(config_, WholeBatch(batch), learned_.seed,
                     static_cast<uint32_t>(learned_.updates));
}

Draws Updater::Impl::DrawShare(const RandomNumbers& numbers, const Batch& batch) const {
  const BatchSize whole = WholeBatch(batch);
  const Draws draws = MakeDraws(numbers, config_, whole, options());
  const int64_t share = batch.actions.size(0);
  if (ranks_ == nullptr) return draws;
  return DrawsOf(draws, whole.batch, ranks_->rank() * share, share);
}

absl::Status Updater::Impl::StepOptimizer(const Occasion& now, const char* loss, Adam& optimizer,
                                          double UpdateMetrics::*norm) {
  const absl::Status averaged = AverageGradient(optimizer);
  if (!averaged.ok()) return averaged;
  const at::Tensor gradient_norm = optimizer.GradientNorm();
  if (now.checked && !std::isfinite(gradient_norm.item<double>()))
    return GradientError(loss, learned_.updates + 1);
  if (now.metrics) now.metrics->Set(norm, gradient_norm);
  optimizer.Step(gradient_norm);
  return absl::OkStatus();
}

Updater::Impl::ModelPass Updater::Impl::DifferentiateModel(const Windows& windows,
                                                           const Draws& draws) {
  ModelPass pass;
  pass.targets = MakeTargets(windows, draws);
  learned_.model_adam.gradients().zero_();
  if (learned_.regularized) learned_.regularized_adam->gradients().zero_();
  pass.losses = ComputeModelLosses(model_, learned_.regularized ? &*learned_.regularized : nullptr,
                                   windows, pass.targets, draws.fit_dropout, config_);
  pass.total = pass.losses.Total(config_);
  pass.total.backward();
  return pass;
}

absl::StatusOr<at::Tensor> Updater::Impl::StepModel(const Occasion& now) {
  const ModelPass pass = DifferentiateModel(now.windows, now.draws);
  absl::Status status =
      StepOptimizer(now, kModelLoss, learned_.model_adam, &UpdateMetrics::model_gradient_norm);
  if (status.ok() && learned_.regularized) {
    status = StepOptimizer(now, kRegularizedValueLoss, *learned_.regularized_adam,
                           &UpdateMetrics::regularized_value_gradient_norm);
  }
  if (!status.ok()) return WithLosses(status, pass.losses);
  if (now.metrics) {
    Report(pass.losses, pass.targets, model::BinsOf(config_.model()), *now.metrics);
    now.metrics->Set(&UpdateMetrics::total_loss, pass.total);
  }
  return pass.losses.latents;
}

PriorLoss Updater::Impl::DifferentiatePrior(const Windows& windows, const Draws& draws,
                                            const at::Tensor& latents) {
  learned_.prior_adam->gradients().zero_();
  PriorLoss loss = ComputePriorLoss(*learned_.prior, windows, latents, draws.prior_noise, config_);
  loss.loss.backward();
  return loss;
}

absl::StatusOr<Gaussian> Updater::Impl::StepPrior(const Occasion& now, const at::Tensor& latents) {
  const PriorLoss loss = DifferentiatePrior(now.windows, now.draws, latents);
  if (now.metrics) Report(loss, now.windows, *now.metrics);
  const absl::Status status =
      StepOptimizer(now, kPriorLoss, *learned_.prior_adam, &UpdateMetrics::prior_gradient_norm);
  if (!status.ok()) return status;
  return Gaussian{loss.gaussian.mean.detach(), loss.gaussian.log_std.detach()};
}

absl::StatusOr<Updater::Impl::PolicyPass> Updater::Impl::DifferentiatePolicy(
    const Windows& windows, const Draws& draws, const at::Tensor& latents, const Gaussian* prior) {
  PolicyJudges judges;
  if (config_.po_mpc().alpha() < 1) {
    judges.values = learned_.regularized ? &*learned_.regularized : &model_.q();
    judges.members = draws.policy_members;
    judges.dropout = draws.policy_dropout;
  }
  judges.prior = prior;
  learned_.policy_adam.gradients().zero_();
  PolicyPass pass;
  pass.terms = EvaluatePolicy(model_, judges, windows, latents, draws.policy_noise, config_);
  const PolicyTerms& terms = pass.terms;
  const auto first_step = [&](const at::Tensor& x) {
    return OfAllRanks(x.narrow(0, 0, windows.batch));
  };
  if (terms.values.defined()) {
    const absl::StatusOr<at::Tensor> values = first_step(terms.values);
    if (!values.ok()) return values.status();
    learned_.value_scale.Update(*values, at::Tensor());
  }
  if (terms.kl.defined()) {
    const absl::StatusOr<at::Tensor> kl = first_step(terms.kl);
    if (!kl.ok()) return kl.status();
    const absl::StatusOr<at::Tensor> has_plan = first_step(windows.has_plan);
    if (!has_plan.ok()) return has_plan.status();
    learned_.kl_scale.Update(*kl, *has_plan);
  }
  pass.loss =
      PolicyLoss(terms, windows, learned_.value_scale.value(), learned_.kl_scale.value(), config_);
  pass.loss.backward();
  return pass;
}

absl::Status Updater::Impl::StepPolicy(const Occasion& now, const at::Tensor& latents,
                                       const Gaussian* prior) {
  const absl::StatusOr<PolicyPass> pass =
      DifferentiatePolicy(now.windows, now.draws, latents, prior);
  if (!pass.ok()) return pass.status();
  if (now.metrics) {
    Report(pass->terms, now.windows, *now.metrics);
    now.metrics->Set(&UpdateMetrics::policy_loss, pass->loss);
    now.metrics->Set(&UpdateMetrics::value_scale, learned_.value_scale.value());
    now.metrics->Set(&UpdateMetrics::kl_scale, learned_.kl_scale.value());
  }
  return StepOptimizer(now, kPolicyLoss, learned_.policy_adam,
                       &UpdateMetrics::policy_gradient_norm);
}

std::optional<Gaussian> Updater::Impl::StoredPrior(const Windows& windows) const {
  if (learned_.prior || config_.po_mpc().alpha() == 0 || !windows.any_plan) return std::nullopt;
  return PlannerGaussian(windows.OfPolicy(windows.plan_mean), windows.OfPolicy(windows.plan_std),
                         config_);
}

void Updater::Impl::StepTargets() {
  at::NoGradGuard no_grad;
  learned_.q_target.flat().lerp_(model_.q().flat(), config_.learner().tau());
  if (learned_.regularized)
    learned_.regularized_target->flat().lerp_(learned_.regularized->flat(),
                                              config_.learner().tau());
}

void Updater::Impl::CountSteps(bool any_plan) {
  learned_.model_adam.CountStep();
  if (learned_.regularized) learned_.regularized_adam->CountStep();
  if (learned_.prior && any_plan) learned_.prior_adam->CountStep();
  if (PolicyLearns(any_plan)) learned_.policy_adam.CountStep();
}

absl::Status Updater::Impl::MakeUpdate(const Occasion& now) {
  const Windows& windows = now.windows;
  const absl::StatusOr<at::Tensor> latents = StepModel(now);
  if (!latents.ok()) return latents.status();
  // Both policies step from the same evaluation of the prior. Without a plan in the batch there is
  // nothing to imitate: the policy then follows the values alone, or rests.
  std::optional<Gaussian> prior = StoredPrior(windows);
  if (learned_.prior && windows.any_plan) {
    absl::StatusOr<Gaussian> evaluated = StepPrior(now, *latents);
    if (!evaluated.ok()) return evaluated.status();
    prior = *std::move(evaluated);
  }
  if (PolicyLearns(windows.any_plan)) {
    const absl::Status status = StepPolicy(now, *latents, prior.has_value() ? &*prior : nullptr);
    if (!status.ok()) return status;
  }
  StepTargets();
  if (now.metrics) Report(windows, *now.metrics);
  return absl::OkStatus();
}

absl::StatusOr<UpdateMetrics> Updater::Impl::StepDirectly(const Batch& batch, bool want_metrics) {
  Windows windows = MakeWindows(batch, config_, options());
  absl::Status status = AgreeWithRanks(windows);
  if (!status.ok()) return status;
  const Draws draws = DrawShare(DrawNext(batch), batch);
  MetricTensors metrics;
  CountSteps(windows.any_plan);
  status = MakeUpdate({windows, draws, want_metrics ? &metrics : nullptr,
                       /*checked=*/model_.device().is_cpu() || want_metrics});
  if (!status.ok()) return status;
  learned_.prior_trained |= learned_.prior.has_value() && windows.any_plan;
  ++learned_.updates;
  return want_metrics ? OfWholeBatch(metrics.Pack(options())) : UpdateMetrics();
}

absl::StatusOr<UpdateMetrics> Updater::Impl::StepThroughRecorder(const Batch& batch,
                                                                 bool want_metrics) {
  Batch own = batch;
  RandomNumbers numbers = DrawNext(batch);
  const bool any_plan = AnyPlan(batch, config_);
  std::vector<at::Tensor*> varying = TensorsOf(own);
  for (at::Tensor* tensor : TensorsOf(numbers)) varying.push_back(tensor);
  std::vector<at::Tensor> tensors;
  for (const at::Tensor* tensor : varying) tensors.push_back(*tensor);
  tensors = recorder_->Load(tensors);
  for (size_t i = 0; i < varying.size(); ++i) *varying[i] = tensors[i];

  // All that the operations of an update follow from, beside the configs and the batch's shapes.
  const int variant =
      (any_plan ? 1 : 0) + (learned_.prior_trained ? 2 : 0) + (want_metrics ? 4 : 0);
  CountSteps(any_plan);
  const at::Tensor packed = recorder_->Run(variant, [&]() -> at::Tensor {
    const Windows windows = MakeWindows(own, any_plan, config_, options());
    const Draws draws = DrawShare(numbers, own);
    MetricTensors metrics;
    const absl::Status made =
        MakeUpdate({windows, draws, want_metrics ? &metrics : nullptr, /*checked=*/false});
    TORCH_INTERNAL_ASSERT(made.ok(), made.ToString());
    return want_metrics ? metrics.Pack(options()) : at::Tensor();
  });
  learned_.prior_trained |= learned_.prior.has_value() && any_plan;
  ++learned_.updates;
  if (!want_metrics) return UpdateMetrics();
  const UpdateMetrics metrics = Unpack(packed);
  const std::pair<const char*, double> norms[] = {
      {kModelLoss, metrics.model_gradient_norm},
      {kRegularizedValueLoss, metrics.regularized_value_gradient_norm},
      {kPriorLoss, metrics.prior_gradient_norm},
      {kPolicyLoss, metrics.policy_gradient_norm}};
  for (const auto& [loss, norm] : norms) {
    if (!std::isfinite(norm)) return GradientError(loss, learned_.updates);
  }
  return metrics;
}

absl::StatusOr<UpdateMetrics> Updater::Impl::Step(const Batch& batch, bool want_metrics) {
  const absl::Status status = batch.Validate(config_);
  if (!status.ok()) return status;
  c10::AutoGradMode with_gradients(true);
  if (recorder_ == nullptr || ranks_ != nullptr) return StepDirectly(batch, want_metrics);
  return StepThroughRecorder(batch, want_metrics);
}

absl::StatusOr<Evaluation> Updater::Impl::Evaluate(const Batch& batch, const Draws& draws) {
  absl::Status status = batch.Validate(config_);
  if (!status.ok()) return status;
  Evaluation result;
  result.windows = MakeWindows(batch, config_, options());
  const Windows& windows = result.windows;
  status = draws.Validate(config_, {windows.horizon, windows.batch});
  if (!status.ok()) return status;
  c10::AutoGradMode with_gradients(true);
  const at::Tensor value_scale = learned_.value_scale.value().clone();
  const at::Tensor kl_scale = learned_.kl_scale.value().clone();

  ModelPass model = DifferentiateModel(windows, draws);
  result.targets = std::move(model.targets);
  result.losses = std::move(model.losses);
  result.total = model.total;
  std::optional<Gaussian> prior = StoredPrior(windows);
  if (learned_.prior && windows.any_plan) {
    result.prior = DifferentiatePrior(windows, draws, result.losses.latents);
    prior = {result.prior->gaussian.mean.detach(), result.prior->gaussian.log_std.detach()};
  }
  absl::StatusOr<PolicyPass> policy = DifferentiatePolicy(windows, draws, result.losses.latents,
                                                          prior.has_value() ? &*prior : nullptr);
  if (!policy.ok()) return policy.status();
  result.policy = std::move(policy->terms);
  result.policy_loss = policy->loss;
  result.value_scale = learned_.value_scale.value().clone();
  result.kl_scale = learned_.kl_scale.value().clone();
  result.gradients = Gradients(result.prior.has_value());
  learned_.value_scale.value().copy_(value_scale);
  learned_.kl_scale.value().copy_(kl_scale);
  return result;
}

model::NamedTensors Updater::Impl::Gradients(bool with_prior) const {
  model::NamedTensors gradients;
  const auto add = [&](const Mlp& network, const at::Tensor& gradient) {
    for (model::NamedTensor& named : Mlp(network.spec(), gradient.clone()).Parameters())
      gradients.push_back(std::move(named));
  };
  int64_t offset = 0;
  const auto add_model = [&](const Mlp& network) {
    const int64_t count = network.flat().numel();
    add(network, learned_.model_adam.gradients().narrow(0, offset, count));
    offset += count;
  };
  add_model(model_.encoder());
  add_model(model_.dynamics());
  add_model(model_.reward());
  if (config_.env().spec().terminates()) add_model(model_.termination());
  add_model(model_.q());
  add(model_.policy(), learned_.policy_adam.gradients());
  if (learned_.regularized) add(*learned_.regularized, learned_.regularized_adam->gradients());
  if (with_prior) add(*learned_.prior, learned_.prior_adam->gradients());
  return gradients;
}

std::unique_ptr<Updater> Updater::Create(const proto::RunConfig& config, at::Device device,
                                         uint64_t seed, at::ScalarType dtype) {
  return std::unique_ptr<Updater>(new Updater(
      std::make_unique<Impl>(model::WorldModel::Create(config, device, seed, dtype), seed)));
}

Updater::Updater(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Updater::~Updater() = default;

absl::StatusOr<UpdateMetrics> Updater::Step(const Batch& batch, bool want_metrics) {
  return impl_->Step(batch, want_metrics);
}
absl::StatusOr<Evaluation> Updater::Evaluate(const Batch& batch, const Draws& draws) {
  return impl_->Evaluate(batch, draws);
}
void Updater::Join(std::shared_ptr<Ranks> ranks) { impl_->Join(std::move(ranks)); }
absl::Status Updater::Synchronize() { return impl_->Synchronize(); }
int64_t Updater::Checksum() { return impl_->learned().Checksum(); }
const model::WorldModel& Updater::model() const { return impl_->learned().world_model; }
int64_t Updater::update_count() const { return impl_->learned().updates; }
const proto::RunConfig& Updater::config() const { return impl_->config(); }
UpdaterState Updater::Export() const { return impl_->learned().Export(); }
absl::Status Updater::Import(const UpdaterState& state) { return impl_->learned().Import(state); }
absl::Status Updater::Keep() { return impl_->learned().Keep(); }
void Updater::GoBack() { impl_->learned().GoBack(); }
void Updater::SetRecorder(std::unique_ptr<Recorder> recorder) {
  impl_->SetRecorder(std::move(recorder));
}

}  // namespace pompc::update
