#include "learner/update/updater.h"

#include <array>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "learner/update/adam.h"
#include "learner/update/gaussian.h"
#include "learner/update/losses.h"
#include "learner/update/running_scale.h"
#include "learner/update/targets.h"
#include "model/ops.h"
#include "model/random.h"

namespace pompc::update {
namespace {

using model::Gaussian;
using model::Mlp;
using model::MlpSpec;
using model::NamedTensors;

// Names of the random streams of one update; their index is the update count.
enum Stream : uint32_t {
  kTargetAction = 101,
  kTargetMembers = 102,
  kFitDropout = 103,
  kPolicyNoise = 104,
  kPolicyMembers = 105,
  kPolicyDropout = 106,
};

// TD-MPC2's policy optimiser differs from the others in this alone.
constexpr double kPolicyEpsilon = 1e-5;
constexpr double kEpsilon = 1e-8;

// A network of its own, on the device and in the dtype of `like`.
Mlp MakeNetwork(MlpSpec spec, const char* name, const at::Tensor& like) {
  spec.name = name;
  return Mlp(spec, at::zeros({spec.NumParameters()}, like.options()));
}

double MaskedMean(const at::Tensor& x, const at::Tensor& mask) {
  return ((x * mask).sum() / mask.sum().clamp_min(1)).item<double>();
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
  if (names.empty()) return status;
  return absl::InternalError(
      absl::StrCat(std::string(status.message()), "; losses not finite: ", names));
}

void Append(NamedTensors part, NamedTensors& all) {
  for (model::NamedTensor& named : part) all.push_back(std::move(named));
}

}  // namespace

class Updater::Impl {
 public:
  Impl(model::WorldModel world_model, const UpdateConfig& config, uint64_t seed);

  absl::StatusOr<UpdateMetrics> Step(const Batch& batch, bool want_metrics);
  UpdaterState Export();
  absl::Status Import(const UpdaterState& state);

  model::WorldModel model_;
  const UpdateConfig config_;
  int64_t updates_ = 0;

 private:
  // alpha = 1 needs no values for the policy, alpha = 0 no prior.
  bool regularized() const { return config_.alpha < 1; }
  bool has_prior() const { return config_.alpha > 0; }

  at::TensorOptions options() const { return model_.flat().options(); }
  at::Tensor Noise(Stream stream, int64_t rows) const;
  at::Tensor Dropout(Stream stream, int64_t members, int64_t rows) const;
  std::vector<int64_t> Members(Stream stream) const;

  Targets MakeTargets(const Windows& windows) const;
  at::Tensor TargetValues(const Mlp& ensemble, const at::Tensor& input,
                          const std::vector<int64_t>& members) const;

  absl::StatusOr<at::Tensor> StepModel(const Windows& windows, UpdateMetrics* metrics);
  absl::StatusOr<Gaussian> StepPrior(const Windows& windows, const at::Tensor& latents,
                                     UpdateMetrics* metrics);
  absl::Status StepPolicy(const Windows& windows, const at::Tensor& latents, const Gaussian* prior,
                          UpdateMetrics* metrics);
  void StepTargets();

  // Steps on finite gradients; the error names the loss. Devices other than the CPU check only if
  // the norm is wanted.
  absl::Status StepOptimizer(const char* loss, Adam& optimizer, double* norm);

  void Report(const ModelLosses& losses, const at::Tensor& total, const Targets& targets,
              UpdateMetrics& metrics) const;
  void Report(const PolicyTerms& terms, const at::Tensor& loss, const Windows& windows,
              UpdateMetrics& metrics) const;

  struct Optimizer {
    const char* name;
    Adam* adam;
  };
  std::vector<Optimizer> Optimizers();
  NamedTensors StateTensors();

  uint64_t seed_;
  std::optional<Mlp> q_target_, regularized_, regularized_target_, prior_;
  std::optional<Adam> model_adam_, regularized_adam_, prior_adam_, policy_adam_;
  RunningScale value_scale_, kl_scale_;
  // Whether the prior has ever been trained: before, its Gaussian means nothing.
  bool prior_trained_ = false;
};

Updater::Impl::Impl(model::WorldModel world_model, const UpdateConfig& config, uint64_t seed)
    : model_(std::move(world_model)),
      config_(config),
      seed_(seed),
      value_scale_(config.tau, model_.flat().options()),
      kl_scale_(config.tau, model_.flat().options()) {
  at::NoGradGuard no_grad;
  const at::Tensor& flat = model_.flat();
  const int64_t encoder = model_.encoder().flat().numel();
  const int64_t policy = model_.policy().flat().numel();
  const int64_t rest = flat.numel() - encoder - policy;

  const auto options = [&](std::vector<Adam::Segment> segments, double epsilon) {
    return Adam::Options{std::move(segments), epsilon, config.max_grad_norm};
  };
  const double lr = config.learning_rate;
  model_adam_.emplace(flat.narrow(0, 0, encoder + rest),
                      options({{encoder, lr * config.encoder_lr_scale}, {rest, lr}}, kEpsilon));
  policy_adam_.emplace(model_.policy().flat(), options({{policy, lr}}, kPolicyEpsilon));
  model_.EnableGradients(model_adam_->gradients(), policy_adam_->gradients());

  q_target_.emplace(MakeNetwork(model::QSpec(model_.config()), "q_target", flat));
  q_target_->flat().copy_(model_.q().flat());
  if (regularized()) {
    // Starts as a copy of the plain ensemble: with lambda = 0 the two stay equal.
    regularized_.emplace(MakeNetwork(model::QSpec(model_.config()), "regularized_q", flat));
    regularized_->flat().copy_(model_.q().flat());
    regularized_target_.emplace(
        MakeNetwork(model::QSpec(model_.config()), "regularized_q_target", flat));
    regularized_target_->flat().copy_(model_.q().flat());
    regularized_adam_.emplace(regularized_->flat(),
                              options({{regularized_->flat().numel(), lr}}, kEpsilon));
    regularized_->EnableGradients(regularized_adam_->gradients());
  }
  if (has_prior()) {
    prior_.emplace(MakeNetwork(model::PolicySpec(model_.config()), "prior", flat));
    prior_->Initialize(seed);
    prior_adam_.emplace(prior_->flat(), options({{policy, lr}}, kEpsilon));
    prior_->EnableGradients(prior_adam_->gradients());
  }
}

at::Tensor Updater::Impl::Noise(Stream stream, int64_t rows) const {
  const model::RandomStream name{stream, static_cast<uint32_t>(updates_)};
  return model::Normal({seed_}, name, {rows, model_.config().action_size}, model_.device())[0].to(
      options());
}

at::Tensor Updater::Impl::Dropout(Stream stream, int64_t members, int64_t rows) const {
  if (model_.config().dropout == 0) return at::Tensor();
  const model::RandomStream name{stream, static_cast<uint32_t>(updates_)};
  return model::DropoutMask(seed_, name, {members, rows, model_.config().mlp_dim},
                            model_.config().dropout, model_.device())
      .to(options());
}

// Two random members of an ensemble, the same for all rows.
std::vector<int64_t> Updater::Impl::Members(Stream stream) const {
  const std::array<int, 2> pair =
      model::RandomPair(seed_, {stream, static_cast<uint32_t>(updates_)}, model_.config().num_q);
  return {pair[0], pair[1]};
}

// Minimum over members of decoded values, [rows].
at::Tensor Updater::Impl::TargetValues(const Mlp& ensemble, const at::Tensor& input,
                                       const std::vector<int64_t>& members) const {
  Mlp::Options options;
  options.members = members;
  return model::TwoHotDecode(ensemble.Forward(input, options), model::BinsOf(model_.config()))
      .amin(0);
}

Targets Updater::Impl::MakeTargets(const Windows& windows) const {
  at::NoGradGuard no_grad;
  const int64_t rows = windows.horizon * windows.batch;
  const bool one_step = config_.target_horizon == TargetHorizon::kOneStep;
  const bool penalized = regularized() && has_prior() && prior_trained_;
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
  const at::Tensor actions =
      SampleClipped({last(policy.mean), last(policy.log_std)}, Noise(kTargetAction, value_rows));
  const at::Tensor input = at::cat({last(latents), actions}, 1);
  const std::vector<int64_t> members = Members(kTargetMembers);

  WindowRewards window{windows.rewards, windows.terminated, at::Tensor(), config_.discount};
  const auto targets_of = [&](const at::Tensor& values) {
    return (one_step ? OneStepTargets(window, values.view_as(windows.rewards))
                     : WindowEndTargets(window, values))
        .flatten();
  };
  targets.values = targets_of(TargetValues(*q_target_, input, members));
  if (!regularized()) return targets;
  if (penalized) {
    const Gaussian prior = model::PolicyFromRaw(prior_->Forward(latents), model_.config());
    window.penalties = (GaussianKl(policy, prior, config_.kl_reduction) * config_.Lambda())
                           .view_as(windows.rewards);
  }
  targets.regularized_values = targets_of(TargetValues(*regularized_target_, input, members));
  return targets;
}

absl::Status Updater::Impl::StepOptimizer(const char* loss, Adam& optimizer, double* norm) {
  const at::Tensor gradient_norm = optimizer.GradientNorm();
  if (gradient_norm.is_cpu() || norm != nullptr) {
    const double value = gradient_norm.item<double>();
    if (norm != nullptr) *norm = value;
    if (!std::isfinite(value)) {
      return absl::InternalError(absl::StrCat("the gradient of the ", loss,
                                              " loss is not finite in update ", updates_ + 1));
    }
  }
  optimizer.Step(gradient_norm);
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> Updater::Impl::StepModel(const Windows& windows,
                                                    UpdateMetrics* metrics) {
  const Targets targets = MakeTargets(windows);
  const at::Tensor dropout =
      Dropout(kFitDropout, model_.config().num_q, windows.horizon * windows.batch);
  model_adam_->gradients().zero_();
  if (regularized()) regularized_adam_->gradients().zero_();
  const ModelLosses losses = ComputeModelLosses(model_, regularized() ? &*regularized_ : nullptr,
                                                windows, targets, dropout, config_);
  const at::Tensor total = losses.Total(config_);
  total.backward();

  absl::Status status =
      StepOptimizer("model", *model_adam_, metrics ? &metrics->model_gradient_norm : nullptr);
  if (status.ok() && regularized()) {
    status = StepOptimizer("regularized value", *regularized_adam_,
                           metrics ? &metrics->regularized_value_gradient_norm : nullptr);
  }
  if (!status.ok()) return WithLosses(status, losses);
  if (metrics) Report(losses, total, targets, *metrics);
  return losses.latents;
}

absl::StatusOr<Gaussian> Updater::Impl::StepPrior(const Windows& windows, const at::Tensor& latents,
                                                  UpdateMetrics* metrics) {
  prior_adam_->gradients().zero_();
  const PriorLoss loss = ComputePriorLoss(*prior_, model_.config(), windows, latents, config_);
  loss.loss.backward();
  prior_trained_ = true;
  if (metrics) {
    metrics->prior_loss = loss.loss.item<double>();
    metrics->prior_planner_kl = MaskedMean(loss.kl, windows.has_plan);
    metrics->prior_std = loss.gaussian.log_std.exp().mean().item<double>();
    metrics->planner_std = MaskedMean(windows.plan_std.mean(1), windows.has_plan);
  }
  const absl::Status status =
      StepOptimizer("prior", *prior_adam_, metrics ? &metrics->prior_gradient_norm : nullptr);
  if (!status.ok()) return status;
  return Gaussian{loss.gaussian.mean.detach(), loss.gaussian.log_std.detach()};
}

absl::Status Updater::Impl::StepPolicy(const Windows& windows, const at::Tensor& latents,
                                       const Gaussian* prior, UpdateMetrics* metrics) {
  const int64_t rows = windows.horizon * windows.batch;
  PolicyJudges judges;
  if (regularized()) {
    judges.regularized = &*regularized_;
    judges.members = Members(kPolicyMembers);
    judges.dropout = Dropout(kPolicyDropout, 2, rows);
  }
  judges.prior = prior;
  policy_adam_->gradients().zero_();
  const PolicyTerms terms =
      EvaluatePolicy(model_, judges, windows, latents, Noise(kPolicyNoise, rows), config_);
  const auto first_step = [&](const at::Tensor& x) { return x.narrow(0, 0, windows.batch); };
  if (terms.values.defined()) value_scale_.Update(first_step(terms.values), at::Tensor());
  if (terms.kl.defined()) kl_scale_.Update(first_step(terms.kl), first_step(windows.has_plan));
  const at::Tensor loss =
      PolicyLoss(terms, windows, value_scale_.value(), kl_scale_.value(), config_);
  loss.backward();
  if (metrics) Report(terms, loss, windows, *metrics);
  return StepOptimizer("policy", *policy_adam_, metrics ? &metrics->policy_gradient_norm : nullptr);
}

void Updater::Impl::Report(const ModelLosses& losses, const at::Tensor& total,
                           const Targets& targets, UpdateMetrics& metrics) const {
  at::NoGradGuard no_grad;
  const model::Bins bins = model::BinsOf(model_.config());
  // Share of targets that the two-hot range cannot hold.
  const auto clamped = [&](const at::Tensor& values) {
    const at::Tensor symlog = model::Symlog(values);
    return symlog.lt(bins.low)
        .logical_or(symlog.gt(bins.high))
        .to(at::kDouble)
        .mean()
        .item<double>();
  };
  metrics.total_loss = total.item<double>();
  metrics.consistency_loss = losses.consistency.item<double>();
  metrics.reward_loss = losses.reward.item<double>();
  metrics.value_loss = losses.value.item<double>();
  metrics.value = model::TwoHotDecode(losses.value_logits, bins).mean().item<double>();
  metrics.value_target = targets.values.mean().item<double>();
  metrics.clamped_targets = clamped(targets.values);
  if (losses.termination.defined()) metrics.termination_loss = losses.termination.item<double>();
  if (!losses.regularized_value.defined()) return;
  metrics.regularized_value_loss = losses.regularized_value.item<double>();
  metrics.regularized_value_target = targets.regularized_values.mean().item<double>();
  metrics.clamped_regularized_targets = clamped(targets.regularized_values);
}

void Updater::Impl::Report(const PolicyTerms& terms, const at::Tensor& loss, const Windows& windows,
                           UpdateMetrics& metrics) const {
  at::NoGradGuard no_grad;
  metrics.policy_loss = loss.item<double>();
  metrics.policy_std = terms.gaussian.log_std.exp().mean().item<double>();
  metrics.policy_entropy = terms.entropy.mean().item<double>();
  metrics.clipped_actions = terms.actions.abs().ge(1).to(at::kDouble).mean().item<double>();
  metrics.value_scale = value_scale_.value().item<double>();
  metrics.kl_scale = kl_scale_.value().item<double>();
  if (terms.values.defined()) metrics.regularized_value = terms.values.mean().item<double>();
  if (terms.kl.defined()) metrics.policy_prior_kl = MaskedMean(terms.kl, windows.has_plan);
}

void Updater::Impl::StepTargets() {
  at::NoGradGuard no_grad;
  q_target_->flat().lerp_(model_.q().flat(), config_.tau);
  if (regularized()) regularized_target_->flat().lerp_(regularized_->flat(), config_.tau);
}

absl::StatusOr<UpdateMetrics> Updater::Impl::Step(const Batch& batch, bool want_metrics) {
  absl::Status status = batch.Validate(model_.config());
  if (!status.ok()) return status;
  c10::AutoGradMode with_gradients(true);
  const Windows windows = MakeWindows(batch, config_.rho, options());
  UpdateMetrics metrics;
  UpdateMetrics* wanted = want_metrics ? &metrics : nullptr;

  const absl::StatusOr<at::Tensor> latents = StepModel(windows, wanted);
  if (!latents.ok()) return latents.status();
  // Both policies step from the same evaluation of the prior. Without a plan in the batch there is
  // nothing to imitate: the policy then follows the values alone.
  std::optional<Gaussian> prior;
  if (has_prior() && windows.any_plan) {
    absl::StatusOr<Gaussian> evaluated = StepPrior(windows, *latents, wanted);
    if (!evaluated.ok()) return evaluated.status();
    prior = *std::move(evaluated);
  }
  status = StepPolicy(windows, *latents, prior.has_value() ? &*prior : nullptr, wanted);
  if (!status.ok()) return status;
  StepTargets();
  ++updates_;
  if (want_metrics) metrics.planned_share = windows.has_plan.mean().item<double>();
  return metrics;
}

std::vector<Updater::Impl::Optimizer> Updater::Impl::Optimizers() {
  std::vector<Optimizer> optimizers = {{"model", &*model_adam_}, {"policy", &*policy_adam_}};
  if (regularized()) optimizers.push_back({"regularized", &*regularized_adam_});
  if (has_prior()) optimizers.push_back({"prior", &*prior_adam_});
  return optimizers;
}

// Views of everything that changes, scalars apart.
NamedTensors Updater::Impl::StateTensors() {
  NamedTensors tensors = model_.Parameters();
  Append(q_target_->Parameters(), tensors);
  if (regularized()) {
    Append(regularized_->Parameters(), tensors);
    Append(regularized_target_->Parameters(), tensors);
  }
  if (has_prior()) Append(prior_->Parameters(), tensors);
  for (const Optimizer& optimizer : Optimizers()) {
    Append(optimizer.adam->State(absl::StrCat("adam.", optimizer.name)), tensors);
  }
  tensors.push_back({"scale.value", value_scale_.value()});
  tensors.push_back({"scale.kl", kl_scale_.value()});
  return tensors;
}

UpdaterState Updater::Impl::Export() {
  UpdaterState state;
  for (const model::NamedTensor& named : StateTensors()) {
    state.tensors.push_back(
        {named.name, named.tensor.detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true)});
  }
  state.metadata["updater.format"] = "1";
  state.metadata["updater.seed"] = absl::StrCat(seed_);
  state.metadata["updater.update_count"] = absl::StrCat(updates_);
  state.metadata["updater.prior_trained"] = prior_trained_ ? "1" : "0";
  for (const Optimizer& optimizer : Optimizers()) {
    state.metadata[absl::StrCat("updater.adam_steps.", optimizer.name)] =
        absl::StrCat(optimizer.adam->steps());
  }
  return state;
}

absl::Status Updater::Impl::Import(const UpdaterState& state) {
  // Read everything before changing anything.
  absl::Status status;
  const auto number = [&](const std::string& name) {
    const std::string key = absl::StrCat("updater.", name);
    const auto found = state.metadata.find(key);
    uint64_t value = 0;
    if (found == state.metadata.end()) {
      status.Update(absl::InvalidArgumentError(absl::StrCat("metadata \"", key, "\" is missing")));
    } else if (!absl::SimpleAtoi(found->second, &value)) {
      status.Update(absl::InvalidArgumentError(
          absl::StrCat("metadata \"", key, "\" is \"", found->second, "\": must be a number")));
    }
    return value;
  };
  const uint64_t format = number("format");
  const uint64_t seed = number("seed");
  const uint64_t updates = number("update_count");
  const bool prior_trained = number("prior_trained") != 0;
  std::vector<uint64_t> steps;
  for (const Optimizer& optimizer : Optimizers())
    steps.push_back(number(absl::StrCat("adam_steps.", optimizer.name)));
  if (status.ok() && format != 1) {
    status = absl::InvalidArgumentError(
        absl::StrCat("metadata \"updater.format\" is ", format, ": must be 1"));
  }
  if (status.ok()) status = model::CopyTensors(state.tensors, StateTensors());
  if (!status.ok()) return status;

  seed_ = seed;
  updates_ = static_cast<int64_t>(updates);
  prior_trained_ = prior_trained;
  const std::vector<Optimizer> optimizers = Optimizers();
  for (size_t i = 0; i < optimizers.size(); ++i)
    optimizers[i].adam->set_steps(static_cast<int64_t>(steps[i]));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Updater>> Updater::Create(const model::ModelConfig& model_config,
                                                         const UpdateConfig& update_config,
                                                         at::Device device, uint64_t seed,
                                                         at::ScalarType dtype) {
  const absl::Status valid = update_config.Validate();
  if (!valid.ok()) return valid;
  absl::StatusOr<model::WorldModel> world_model =
      model::WorldModel::Create(model_config, device, seed, dtype);
  if (!world_model.ok()) return world_model.status();
  return std::unique_ptr<Updater>(
      new Updater(std::make_unique<Impl>(*std::move(world_model), update_config, seed)));
}

Updater::Updater(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Updater::~Updater() = default;

absl::StatusOr<UpdateMetrics> Updater::Step(const Batch& batch, bool want_metrics) {
  return impl_->Step(batch, want_metrics);
}
const model::WorldModel& Updater::model() const { return impl_->model_; }
int64_t Updater::update_count() const { return impl_->updates_; }
const UpdateConfig& Updater::config() const { return impl_->config_; }
UpdaterState Updater::Export() const { return impl_->Export(); }
absl::Status Updater::Import(const UpdaterState& state) { return impl_->Import(state); }

}  // namespace pompc::update
