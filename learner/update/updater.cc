#include "learner/update/updater.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/values/not_finite.h"
#include "learner/update/gaussian.h"

namespace pompc::update {
namespace {

using model::Gaussian;

absl::Status GradientError(const char* loss, uint64_t update) {
  return NotFiniteError(
      loss, absl::StrCat("the gradient of the ", loss, " loss is not finite in update ", update));
}

// The error with the terms of the loss that are not finite themselves.
absl::Status WithTerms(const absl::Status& status, const std::vector<LossTerm>& terms) {
  std::string names;
  for (const LossTerm& term : terms) {
    if (!std::isfinite(term.loss.item<double>()))
      absl::StrAppend(&names, names.empty() ? "" : ", ", term.name);
  }
  const std::string loss = NotFiniteName(status);
  if (names.empty() || loss.empty()) return status;
  return NotFiniteError(
      loss, absl::StrCat(std::string(status.message()), "; losses not finite: ", names));
}

void Report(const Evaluation& e, const std::vector<ValueHead>& heads,
            const proto::ModelConfig& config, MetricTensors& metrics) {
  using M = UpdateMetrics;
  metrics.Set(&M::total_loss, e.total);
  Report(e.losses, e.targets, heads, config, metrics);
  if (e.prior) Report(*e.prior, e.windows, metrics);
  if (e.policy_loss.defined()) {
    Report(e.policy, e.windows, metrics);
    metrics.Set(&M::policy_loss, e.policy_loss);
    metrics.Set(&M::value_scale, e.value_scale);
    metrics.Set(&M::kl_scale, e.kl_scale);
  }
  Report(e.windows, metrics);
}

// Says whether an update could be made of it. Adam divides by the norm of the gradients, which is
// infinite before they are.
bool IsFinite(const Evaluation& evaluation) {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> norms;
  for (const at::Tensor& scale : {evaluation.value_scale, evaluation.kl_scale}) {
    norms.push_back(scale.norm().to(at::kFloat));
  }
  for (const model::NamedTensor& named : evaluation.gradients) {
    norms.push_back(named.tensor.norm().to(at::kFloat));
  }
  return std::isfinite(at::stack(norms).norm().item<double>());
}

}  // namespace

std::unique_ptr<Updater> Updater::Create(const proto::RunConfig& config, at::Device device,
                                         uint64_t seed, at::ScalarType dtype) {
  return std::unique_ptr<Updater>(
      new Updater(model::WorldModel::Create(config, device, seed, dtype), seed));
}

Updater::Updater(model::WorldModel world_model, uint64_t seed)
    : learned_(std::make_unique<Learnables>(std::move(world_model), seed)) {
  const at::Device device = model().device();
  if (!device.is_cpu()) recorder_ = model::MakeRecorder(device, /*records=*/true);
}

absl::Status Updater::Synchronize() {
  POMPC_CHECK(ranks_ != nullptr);
  return learned_->Synchronize(*ranks_);
}

// ---- The update, step by step as docs/algorithm.md numbers them

absl::Status Updater::MakeUpdate(const Draws& draws, const Manner& manner, Evaluation& e) {
  Learnables& own = *learned_;
  const Windows& windows = e.windows;

  // Step 1: targets, without gradients.
  e.targets = MakeTargets({.model = &own.world_model,
                           .heads = own.heads,
                           .prior = own.TrainedPrior(),
                           .nat_price = NatPrice(config(), own.value_scale.value())},
                          windows, draws);

  // Step 2: the world model and the values, along the latents that the model itself rolls out.
  e.losses = ComputeModelLosses(own.world_model, own.heads, windows, e.targets, draws.fit_dropout,
                                config());
  e.total = e.losses.Total();
  if (windows.importance.defined()) {
    e.priorities = WindowPriorities(e.losses, e.targets, windows, config());
  }
  const absl::Status stepped = Minimize(UpdateStep::kModel, e.total, manner);
  if (!stepped.ok()) return WithTerms(stepped, e.losses.terms);
  const at::Tensor& latents = e.losses.latents;

  // Step 3: a learned prior follows the planner. Step 4 holds the policy to the prior as it was
  // evaluated here, before it stepped, or to the stored plans. Without a plan in the batch there is
  // nothing to imitate.
  std::optional<Gaussian> prior;
  if (own.prior && windows.any_plan) {
    PriorTeacher teacher{.noise = draws.prior_noise};
    if (config().po_mpc().prior_gate() == proto::PoMpcConfig::VALUE) {
      teacher.gate = &own.heads.front().online;
    }
    e.prior = ComputePriorLoss(*own.prior, teacher, windows, latents, config());
    POMPC_RETURN_IF_ERROR(Minimize(UpdateStep::kPrior, e.prior->loss, manner));
    prior = {e.prior->gaussian.mean.detach(), e.prior->gaussian.log_std.detach()};
  } else if (windows.any_plan && config().po_mpc().alpha() > 0) {
    prior = PlannerGaussian(windows.OfPolicy(windows.plan_mean), windows.OfPolicy(windows.plan_std),
                            config());
  }

  // Step 4: the policy follows the values, which stepped in step 2, and the prior.
  if (!manner.steps || PolicyLearns(windows.any_plan)) {
    PolicyJudges judges;
    if (config().po_mpc().alpha() < 1) {
      judges.values = &own.PolicyHead().online;
      if (ScalesByPlainValues(config().po_mpc())) judges.scale = &own.heads.front().online;
      judges.members = draws.policy_members;
      judges.dropout = draws.policy_dropout;
    }
    judges.prior = prior.has_value() ? &*prior : nullptr;
    e.policy =
        EvaluatePolicy(own.world_model, judges, windows, latents, draws.policy_noise, config());
    POMPC_RETURN_IF_ERROR(FollowScales(windows, e.policy));
    e.value_scale = own.value_scale.value();
    e.kl_scale = own.kl_scale.value();
    e.policy_loss = PolicyLoss(e.policy, windows, e.value_scale, e.kl_scale, config());
    POMPC_RETURN_IF_ERROR(Minimize(UpdateStep::kPolicy, e.policy_loss, manner));
  }

  // Step 5: target networks.
  if (manner.steps) FollowTargets();
  if (manner.metrics) Report(e, own.heads, config().model(), *manner.metrics);
  return absl::OkStatus();
}

// A loss can be followed by several optimisers: that of step 2 by one for the model with Q and one
// for Qt, each clipped on its own. One backward pass gives all their gradients.
absl::Status Updater::Minimize(UpdateStep step, const at::Tensor& loss, const Manner& manner) {
  std::vector<Optimizer*> concerned;
  for (Optimizer& optimizer : learned_->optimizers) {
    if (optimizer.step == step) concerned.push_back(&optimizer);
  }
  for (const Optimizer* optimizer : concerned) optimizer->adam.gradients().zero_();
  loss.backward();
  if (!manner.steps) return absl::OkStatus();
  for (Optimizer* optimizer : concerned) {
    Adam& adam = optimizer->adam;
    POMPC_RETURN_IF_ERROR(AverageGradient(adam));
    // A number that is not finite would stay in Adam's moments for good, so the step is not made.
    // The norm is infinite before any of its numbers is, which counts as not finite too.
    const at::Tensor norm = adam.GradientNorm();
    if (manner.checked && !std::isfinite(norm.item<double>()))
      return GradientError(optimizer->loss, learned_->updates + 1);
    if (manner.metrics) manner.metrics->Set(optimizer->norm, norm);
    adam.Step(norm);
  }
  return absl::OkStatus();
}

// Quantiles of the parts of a batch cannot be combined, so the numbers themselves are gathered from
// the ranks: one for each window. All ranks then move their scales by the same bits.
absl::Status Updater::FollowScales(const Windows& windows, const PolicyTerms& terms) {
  const auto first_states = [&](const at::Tensor& x) {
    return OfAllRanks(x.narrow(0, 0, windows.batch));
  };
  if (terms.scale_values.defined()) {
    POMPC_ASSIGN_OR_RETURN(const at::Tensor values, OfAllRanks(terms.scale_values));
    learned_->value_scale.Update(values, at::Tensor());
  }
  if (terms.kl.defined()) {
    POMPC_ASSIGN_OR_RETURN(const at::Tensor kl, first_states(terms.kl));
    POMPC_ASSIGN_OR_RETURN(const at::Tensor has_plan, first_states(windows.has_plan));
    learned_->kl_scale.Update(kl, has_plan);
  }
  return absl::OkStatus();
}

void Updater::FollowTargets() {
  at::NoGradGuard no_grad;
  for (const ValueHead& head : learned_->heads)
    head.target.flat().lerp_(head.online.flat(), config().learner().tau());
}

// ---- How an update is made

absl::StatusOr<UpdateMetrics> Updater::Step(const Batch& batch, bool want_metrics) {
  POMPC_RETURN_IF_ERROR(batch.Validate(config()));
  c10::AutoGradMode with_gradients(true);
  // Ranks exchange gradients in the middle of an update, which no recording can hold.
  if (recorder_ == nullptr || ranks_ != nullptr) return StepDirectly(batch, want_metrics);
  return StepThroughRecorder(batch, want_metrics);
}

// The counts, on which Adam's bias corrections depend, are the host's: a recording would repeat
// those of the update that it was made of. An optimiser whose loss this batch does not have rests,
// since a step without a gradient would still move the parameters along its moments.
void Updater::CountSteps(bool any_plan) {
  for (Optimizer& optimizer : learned_->optimizers) {
    const bool rests = (optimizer.step == UpdateStep::kPrior && !any_plan) ||
                       (optimizer.step == UpdateStep::kPolicy && !PolicyLearns(any_plan));
    if (!rests) optimizer.adam.CountStep();
  }
}

void Updater::CountUpdate(bool any_plan) {
  if (learned_->prior && any_plan) learned_->prior_trained = 1;
  ++learned_->updates;
}

absl::StatusOr<UpdateMetrics> Updater::StepDirectly(const Batch& batch, bool want_metrics) {
  // What can be refused comes before anything is counted or drawn: the state is as it was then.
  Evaluation e;
  e.windows = MakeWindows(batch, config(), options());
  POMPC_RETURN_IF_ERROR(AgreeWithRanks(e.windows));
  const Draws draws = DrawShare(DrawNext(batch), batch);
  MetricTensors metrics;
  CountSteps(e.windows.any_plan);
  POMPC_RETURN_IF_ERROR(MakeUpdate(draws,
                                   {.checked = model().device().is_cpu() || want_metrics,
                                    .metrics = want_metrics ? &metrics : nullptr},
                                   e));
  CountUpdate(e.windows.any_plan);
  if (e.priorities.defined() && recorder_ != nullptr) {
    priorities_.push_back(recorder_->Retrieve(e.priorities));
  } else if (e.priorities.defined()) {
    priorities_.push_back([priorities = e.priorities.cpu()] { return priorities; });
  }
  return want_metrics ? OfWholeBatch(metrics.Pack(options())) : UpdateMetrics();
}

absl::StatusOr<UpdateMetrics> Updater::StepThroughRecorder(const Batch& batch, bool want_metrics) {
  // The batch and the random numbers go to where recorded operations read them.
  Batch own = batch;
  RandomNumbers numbers = DrawNext(batch);
  const bool any_plan = AnyPlan(batch, config());
  std::vector<at::Tensor*> varying = TensorsOf(own);
  for (at::Tensor* tensor : TensorsOf(numbers)) varying.push_back(tensor);
  std::vector<at::Tensor> tensors;
  for (const at::Tensor* tensor : varying) tensors.push_back(*tensor);
  tensors = recorder_->Load(tensors);
  for (size_t i = 0; i < varying.size(); ++i) *varying[i] = tensors[i];

  // All that the operations of an update follow from, beside the config and the batch's shapes.
  const int variant =
      (any_plan ? 1 : 0) + (learned_->prior_trained != 0 ? 2 : 0) + (want_metrics ? 4 : 0);
  CountSteps(any_plan);
  const at::Tensor packed = recorder_->Run(variant, [&]() -> at::Tensor {
    Evaluation e;
    e.windows = MakeWindows(own, any_plan, config(), options());
    MetricTensors metrics;
    POMPC_CHECK_OK(
        MakeUpdate(DrawShare(numbers, own), {.metrics = want_metrics ? &metrics : nullptr}, e));
    // A program has one result: the metrics if they are wanted, then the priorities if there are
    // any.
    std::vector<at::Tensor> results;
    if (want_metrics) results.push_back(metrics.Pack(options()));
    if (e.priorities.defined()) results.push_back(e.priorities.to(at::kDouble));
    return results.empty() ? at::Tensor() : at::cat(results);
  });
  CountUpdate(any_plan);
  const int64_t windows = own.importance.defined() ? own.importance.size(0) : 0;
  if (windows > 0) {
    priorities_.push_back(recorder_->Retrieve(packed.narrow(0, packed.size(0) - windows, windows)));
  }
  // Nothing has waited for the device so far. Metrics do, and can then tell what came out; without
  // them a gradient that is not finite is found by the next Keep.
  if (!want_metrics) return UpdateMetrics();
  const UpdateMetrics metrics = Unpack(packed.narrow(0, 0, packed.size(0) - windows));
  for (const char* loss : kLosses) {
    for (const Optimizer& optimizer : learned_->optimizers) {
      if (optimizer.loss == loss && !std::isfinite(metrics.*optimizer.norm))
        return GradientError(loss, learned_->updates);
    }
  }
  return metrics;
}

std::vector<at::Tensor> Updater::TakePriorities() {
  // The newest update may still be running on its device; those before it have ended, or are about
  // to, while the device has the newest one to work on.
  const size_t running = model().device().is_cpu() ? 0 : 1;
  std::vector<at::Tensor> taken;
  while (priorities_.size() > running) {
    taken.push_back(priorities_.front()().to(at::kFloat));
    priorities_.pop_front();
  }
  return taken;
}

absl::StatusOr<Evaluation> Updater::Evaluate(const Batch& batch, const Draws& draws) {
  POMPC_CHECK(ranks_ == nullptr);
  POMPC_RETURN_IF_ERROR(batch.Validate(config()));
  Evaluation e;
  e.windows = MakeWindows(batch, config(), options());
  POMPC_RETURN_IF_ERROR(draws.Validate(config(), {e.windows.horizon, e.windows.batch}));
  c10::AutoGradMode with_gradients(true);
  // The running scales are the one thing that an update changes without an optimiser: they are put
  // back at the end.
  const at::Tensor value_scale = learned_->value_scale.value();
  const at::Tensor kl_scale = learned_->kl_scale.value();
  const at::Tensor value_scale_before = value_scale.clone();
  const at::Tensor kl_scale_before = kl_scale.clone();
  POMPC_RETURN_IF_ERROR(MakeUpdate(draws, {.steps = false}, e));
  e.value_scale = value_scale.clone();
  e.kl_scale = kl_scale.clone();
  e.gradients = learned_->Gradients(/*with_prior=*/e.prior.has_value());
  value_scale.copy_(value_scale_before);
  kl_scale.copy_(kl_scale_before);
  return e;
}

absl::StatusOr<std::vector<uint32_t>> Updater::FindUnusable(const Batch& batch) {
  POMPC_RETURN_IF_ERROR(batch.Validate(config()));
  std::vector<uint32_t> found;
  POMPC_RETURN_IF_ERROR(FindUnusable(batch, 0, batch.actions.size(0), &found));
  return found;
}

absl::Status Updater::FindUnusable(const Batch& batch, int64_t begin, int64_t count,
                                   std::vector<uint32_t>* found) {
  Batch part = batch;
  for (at::Tensor* tensor : TensorsOf(part)) *tensor = tensor->narrow(0, begin, count);
  const BatchSize size = {part.actions.size(1), count};
  // Any draws do: it is the rows of a window that make numbers infinite.
  const RandomNumbers numbers =
      DrawNumbers(config(), size, /*seed=*/0, static_cast<uint32_t>(update_count()));
  POMPC_ASSIGN_OR_RETURN(const Evaluation evaluation,
                         Evaluate(part, MakeDraws(numbers, config(), size, options())));
  if (IsFinite(evaluation)) return absl::OkStatus();
  if (count > 1) {
    const size_t before = found->size();
    const int64_t half = count / 2;
    POMPC_RETURN_IF_ERROR(FindUnusable(batch, begin, half, found));
    POMPC_RETURN_IF_ERROR(FindUnusable(batch, begin + half, count - half, found));
    if (found->size() > before) return absl::OkStatus();
  }
  // A window alone, or windows that are unusable only together.
  for (int64_t i = begin; i < begin + count; ++i) found->push_back(static_cast<uint32_t>(i));
  return absl::OkStatus();
}

// ---- Several ranks, each with its part of the batch

absl::Status Updater::AgreeWithRanks(Windows& windows) const {
  if (ranks_ == nullptr) return absl::OkStatus();
  // Before anything is computed. The prior's loss is a mean over the planned rows of the whole
  // batch, and whether it has any decides which optimisers step. A rank that is at another update
  // would give gradients of other parameters, and no later exchange would notice: sizes agree.
  const double batch = static_cast<double>(windows.batch);
  const double updates = static_cast<double>(learned_->updates);
  const bool weighted = windows.importance.defined();
  const double largest = weighted ? windows.largest_importance.item<double>() : 0;
  const at::Tensor own =
      at::tensor({windows.planned_weight.item<double>(), windows.any_plan ? 1.0 : 0.0, batch,
                  updates, windows.policy_weight.item<double>(), largest},
                 at::kDouble);
  POMPC_ASSIGN_OR_RETURN(const at::Tensor gathered, ranks_->Gather(own.unsqueeze(0)));
  const auto all = gathered.accessor<double, 2>();
  // Importance weights are divided by the largest one of the whole batch, and sums over parts that
  // were divided by their own are brought to it.
  double most = largest;
  for (int64_t rank = 0; rank < ranks_->size(); ++rank) most = std::max(most, all[rank][5]);
  if (weighted) windows.SetLargestImportance(most);
  double planned = 0, weight = 0;
  for (int64_t rank = 0; rank < ranks_->size(); ++rank) {
    const double scale = weighted ? all[rank][5] / most : 1;
    planned += all[rank][0] * scale / ranks_->size();
    weight += all[rank][4] * scale / ranks_->size();
    if (all[rank][1] != 0) windows.any_plan = true;
    if (all[rank][2] != batch) {
      return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " has a batch of ",
                                                     all[rank][2], " windows, rank ",
                                                     ranks_->rank(), " of ", windows.batch));
    }
    if (all[rank][3] != updates) {
      return absl::InternalError(absl::StrCat("rank ", rank, " has made ", all[rank][3],
                                              " updates, rank ", ranks_->rank(), " ",
                                              learned_->updates));
    }
  }
  windows.planned_weight = at::full({}, planned, options());
  if (weighted) windows.policy_weight = at::full({}, weight, options());
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> Updater::OfAllRanks(const at::Tensor& x) const {
  if (ranks_ == nullptr) return x;
  return ranks_->Gather(x);
}

absl::StatusOr<UpdateMetrics> Updater::OfWholeBatch(const at::Tensor& packed) const {
  if (ranks_ == nullptr) return Unpack(packed);
  POMPC_ASSIGN_OR_RETURN(const at::Tensor all, ranks_->Gather(packed.unsqueeze(0)));
  std::vector<UpdateMetrics> parts;
  for (const at::Tensor& part : all.unbind()) parts.push_back(Unpack(part));
  return UpdateMetrics::OfParts(parts);
}

absl::Status Updater::AverageGradient(const Adam& optimizer) const {
  if (ranks_ == nullptr) return absl::OkStatus();
  // The parts are equally large, so the whole batch's loss is the mean of theirs, and so is its
  // gradient. The sum has the same bits on all ranks: Adam makes the same step on each of them.
  POMPC_RETURN_IF_ERROR(ranks_->Sum(optimizer.gradients()));
  optimizer.gradients().div_(ranks_->size());
  return absl::OkStatus();
}

BatchSize Updater::WholeBatch(const Batch& batch) const {
  const int64_t shares = ranks_ == nullptr ? 1 : ranks_->size();
  return {batch.actions.size(1), batch.actions.size(0) * shares};
}

// Every rank draws the numbers of the whole batch and takes its part of them, so that N ranks make
// the update that one would make of the same windows, up to the order of sums.
RandomNumbers Updater::DrawNext(const Batch& batch) const {
  return DrawNumbers(config(), WholeBatch(batch), learned_->seed,
                     static_cast<uint32_t>(learned_->updates));
}

Draws Updater::DrawShare(const RandomNumbers& numbers, const Batch& batch) const {
  const BatchSize whole = WholeBatch(batch);
  const Draws draws = MakeDraws(numbers, config(), whole, options());
  const int64_t share = batch.actions.size(0);
  if (ranks_ == nullptr) return draws;
  return DrawsOf(draws, whole.batch, ranks_->rank() * share, share);
}

}  // namespace pompc::update
