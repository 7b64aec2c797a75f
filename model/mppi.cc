#include "model/mppi.h"

#include <algorithm>
#include <utility>

#include "model/ops.h"
#include "model/random.h"

namespace pompc::model {
namespace {

// Names of the random streams of one plan; the index counts iterations where there are several.
enum Stream : uint32_t {
  kPolicyTrajectories = 1,
  kSamples = 2,
  kTerminalAction = 3,
  kQMembers = 4,
  kEliteChoice = 5,
  kExploration = 6,
};

// Actions of the policy at latents [rows, L] for noise [rows, A].
at::Tensor Act(const WorldModel& model, const at::Tensor& latents, const at::Tensor& noise) {
  return SampleActions(model.Policy(latents), noise, model.config().model().policy_form());
}

// Mean of two members of the plain Q ensemble at the policy's action, [S * N], from latents of that
// many rows.
at::Tensor TerminalValue(const WorldModel& model, const at::Tensor& z,
                         const TrajectoryDraws& draws) {
  const int64_t states = draws.noise.size(0);
  const int64_t rows = draws.noise.size(1);
  const Bins bins = BinsOf(model.config().model());
  const at::Tensor input = at::cat({z, Act(model, z, draws.noise.flatten(0, 1))}, -1);
  if (model.config().model().num_q() == 2)
    return TwoHotDecode(model.q().Forward(input), bins).mean(0);
  // Each state has a pair of its own: row blocks (state, member), each with that member's weights.
  Mlp::Options options;
  options.members = at::tensor(draws.members, at::kLong).to(z.device());
  const at::Tensor blocks = input.view({states, 1, rows, -1})
                                .expand({states, 2, rows, input.size(1)})
                                .reshape({2 * states, rows, -1});
  const at::Tensor values = TwoHotDecode(model.q().Forward(blocks, options), bins);
  return values.view({states, 2, rows}).mean(1).flatten();
}

// One pass over some of the states. S states, N samples, H decisions, A numbers of an action.
class Search {
 public:
  Search(const WorldModel& model, const proto::RunConfig& config, absl::Span<const uint64_t> seeds)
      : model_(model),
        config_(config.planner()),
        discount_(config.learner().discount()),
        horizon_(config.planner().horizon()),
        seeds_(seeds),
        states_(static_cast<int64_t>(seeds.size())),
        actions_(model.config().env().spec().action_size()) {}

  struct Result {
    at::Tensor mean, std;  // [S, H, A]
    at::Tensor elites;     // [S, E, H, A]
    at::Tensor values;     // [S, E]
    at::Tensor scores;     // [S, E], positive weights
  };

  // `latents` [S, L], `mean` [S, H, A] the first guess.
  Result Run(const at::Tensor& latents, at::Tensor mean) {
    const int64_t drawn = config_.samples() - config_.policy_samples();
    const int iterations = static_cast<int>(config_.iterations());
    const at::Tensor policy = PolicyTrajectories(latents);
    Result result;
    result.mean = std::move(mean);
    result.std = at::full_like(result.mean, config_.max_std());
    const at::Tensor start = Repeat(latents, config_.samples());
    for (int i = 0; i < iterations; ++i) {
      const at::Tensor noise = Draw(kSamples, i, {drawn, horizon_, actions_});
      at::Tensor sequences =
          at::addcmul(result.mean.unsqueeze(1), result.std.unsqueeze(1), noise).clamp_(-1, 1);
      if (policy.defined()) sequences = at::cat({policy, sequences}, 1);
      const at::Tensor values = Values(start, sequences, i);
      Refine(sequences, values, result);
    }
    return result;
  }

 private:
  // [S, L] -> [S * count, L]
  at::Tensor Repeat(const at::Tensor& latents, int64_t count) const {
    return latents.unsqueeze(1)
        .expand({states_, count, latents.size(1)})
        .reshape({states_ * count, latents.size(1)});
  }

  // Standard normal [S, shape...] in the model's dtype.
  at::Tensor Draw(Stream stream, int index, at::IntArrayRef shape) const {
    return Normal(seeds_, {stream, static_cast<uint32_t>(index)}, shape, model_.device())
        .to(model_.dtype());
  }

  // Action sequences of the policy's rollouts in the model, [S, P, H, A], or undefined for none.
  at::Tensor PolicyTrajectories(const at::Tensor& latents) const {
    const int64_t count = config_.policy_samples();
    if (count == 0) return at::Tensor();
    const at::Tensor noise = Draw(kPolicyTrajectories, 0, {count, horizon_, actions_});
    at::Tensor z = Repeat(latents, count);
    std::vector<at::Tensor> steps;
    for (int64_t t = 0; t < horizon_; ++t) {
      const at::Tensor action = Act(model_, z, noise.select(2, t).reshape({-1, actions_}));
      steps.push_back(action.view({states_, count, actions_}));
      if (t + 1 < horizon_) z = model_.Next(z, action);
    }
    return at::stack(steps, 2);
  }

  // Values of sequences [S, N, H, A] from latents [S * N, L]: [S, N].
  at::Tensor Values(const at::Tensor& start, const at::Tensor& sequences, int iteration) const {
    TrajectoryDraws draws;
    draws.noise = Draw(kTerminalAction, iteration, {sequences.size(1), actions_});
    const int num_q = static_cast<int>(model_.config().model().num_q());
    for (const uint64_t seed : seeds_) {
      for (const int member :
           RandomPair(seed, {kQMembers, static_cast<uint32_t>(iteration)}, num_q)) {
        draws.members.push_back(member);
      }
    }
    return TrajectoryValues(model_, discount_, start, sequences, draws);
  }

  // Fits mean and standard deviation to the elites of one iteration.
  void Refine(const at::Tensor& sequences, const at::Tensor& raw_values, Result& result) const {
    const at::Tensor values = at::nan_to_num(raw_values, 0.0);
    const auto top = at::topk(values, config_.elites(), 1);
    const at::Tensor index = std::get<1>(top).view({states_, config_.elites(), 1, 1});
    result.values = std::get<0>(top);
    result.elites = sequences.gather(1, index.expand({-1, -1, horizon_, actions_}));
    // topk sorts, so the first value is the best.
    result.scores = ((result.values - result.values.narrow(1, 0, 1)) * config_.temperature()).exp();
    const at::Tensor weights = (result.scores / (result.scores.sum(1, true) + 1e-9))
                                   .view({states_, config_.elites(), 1, 1});
    result.mean = (weights * result.elites).sum(1);
    result.std = (weights * (result.elites - result.mean.unsqueeze(1)).square())
                     .sum(1)
                     .sqrt()
                     .clamp(config_.min_std(), config_.max_std());
  }

  const WorldModel& model_;
  const proto::PlannerConfig& config_;
  const double discount_;
  const int64_t horizon_;
  const absl::Span<const uint64_t> seeds_;
  const int64_t states_;
  const int64_t actions_;
};

struct Statistic {
  at::Tensor mean, std;  // [S, A]
};

// What plans say of their first decision, given its action in the elite that was drawn, [S, A].
Statistic FirstDecision(const Search::Result& search, const at::Tensor& drawn,
                        proto::PlannerConfig::Statistic statistic) {
  const at::Tensor std = search.std.select(1, 0);
  if (statistic == proto::PlannerConfig::ELITE) return {drawn, std};
  if (statistic == proto::PlannerConfig::MEAN) return {search.mean.select(1, 0), std};
  // Elites are sorted by value.
  const at::Tensor first = search.elites.select(2, 0);
  const at::Tensor best = first.select(1, 0);
  const at::Tensor weights = search.scores / (search.scores.sum(1, true) + 1e-9);
  const at::Tensor deviation = (first - best.unsqueeze(1)).square();
  return {best, ((weights.unsqueeze(-1) * deviation).sum(1) + 1e-6).sqrt()};
}

// Draws one elite per state by its score (Gumbel-max) and takes its first action, with noise where
// not evaluating.
void ChooseActions(const Search::Result& search, absl::Span<const uint64_t> seeds,
                   const at::Tensor& explore, proto::PlannerConfig::Statistic statistic,
                   const Plans& out) {
  const at::TensorOptions options = search.scores.options();
  const at::Tensor uniform =
      Uniform(seeds, {kEliteChoice, 0}, {search.scores.size(1)}, options.device());
  // Uniform is in [0, 1) in steps of 2^-24; both ends would make an infinity.
  const at::Tensor gumbel = -(-(uniform + 0x1p-25).clamp_max(1 - 0x1p-24).log()).log();
  const at::Tensor choice = (search.scores.log() + gumbel.to(options)).argmax(1, true);
  const at::Tensor first = search.elites.select(2, 0);
  const int64_t actions = first.size(2);
  const at::Tensor candidate =
      first.gather(1, choice.unsqueeze(-1).expand({-1, -1, actions})).squeeze(1);
  const at::Tensor std = search.std.select(1, 0);
  const at::Tensor noise =
      Normal(seeds, {kExploration, 0}, {actions}, options.device()).to(options);
  out.actions.copy_((candidate + explore.to(options).unsqueeze(1) * std * noise).clamp_(-1, 1));
  const Statistic stored = FirstDecision(search, candidate, statistic);
  out.mean.copy_(stored.mean);
  out.std.copy_(stored.std);
  out.value.copy_(search.values.gather(1, choice).squeeze(1));
  out.warm_start.copy_(search.mean);
}

// The previous means moved on by one decision, zeros where there are none, [B, H, A].
at::Tensor FirstGuess(const WorldModel& model, int64_t horizon, const PlanInputs& inputs) {
  const int64_t batch = inputs.observations.size(0);
  const int64_t actions = model.config().env().spec().action_size();
  at::Tensor guess =
      at::zeros({batch, horizon, actions}, at::TensorOptions(model.dtype()).device(model.device()));
  if (!inputs.warm_start.defined() || horizon == 1) return guess;
  at::Tensor shifted = inputs.warm_start.narrow(1, 1, horizon - 1).to(guess.options());
  if (!inputs.has_warm_start.empty()) {
    at::Tensor mask = at::empty({batch, 1, 1}, at::kFloat);
    for (int64_t b = 0; b < batch; ++b)
      mask.data_ptr<float>()[b] = inputs.has_warm_start[static_cast<size_t>(b)];
    // Where the mask is 0 the input may be anything, NaN included.
    shifted = at::where(mask.to(guess.device()).gt(0), shifted, at::zeros({}, guess.options()));
  }
  guess.narrow(1, 0, horizon - 1).copy_(shifted);
  return guess;
}

Plans EmptyPlans(int64_t actions, int64_t horizon, int64_t batch) {
  return {at::empty({batch, actions}), at::empty({batch, actions}), at::empty({batch, actions}),
          at::empty({batch}), at::empty({batch, horizon, actions})};
}

// 1 where the plan has exploration noise, else 0, [B].
at::Tensor ExploringStates(const PlanInputs& inputs) {
  at::Tensor explore = at::ones({inputs.observations.size(0)});
  for (size_t b = 0; b < inputs.evaluate.size(); ++b)
    explore.data_ptr<float>()[b] = inputs.evaluate[b] ? 0 : 1;
  return explore;
}

}  // namespace

at::Tensor TrajectoryValues(const WorldModel& model, double discount, const at::Tensor& latents,
                            const at::Tensor& sequences, const TrajectoryDraws& draws) {
  const Bins bins = BinsOf(model.config().model());
  const bool terminates = model.config().env().spec().terminates();
  const int64_t actions = sequences.size(3);
  at::Tensor z = latents;
  at::Tensor total, alive;
  double weight = 1;
  for (int64_t t = 0; t < sequences.size(2); ++t) {
    const at::Tensor input = at::cat({z, sequences.select(2, t).reshape({-1, actions})}, -1);
    at::Tensor reward = TwoHotDecode(model.reward().Forward(input), bins);
    if (alive.defined()) reward = reward * alive;
    total = total.defined() ? at::add(total, reward, weight) : reward;
    z = model.dynamics().Forward(input);
    weight *= discount;
    if (terminates) {
      const at::Tensor goes_on = model.TerminationLogits(z).le(0).to(z.scalar_type());
      alive = alive.defined() ? alive * goes_on : goes_on;
    }
  }
  at::Tensor last = TerminalValue(model, z, draws);
  if (alive.defined()) last = last * alive;
  return at::add(total, last, weight).view({sequences.size(0), sequences.size(1)});
}

Plans ActByPolicy(const WorldModel& model, const proto::RunConfig& config,
                  const PlanInputs& inputs) {
  at::NoGradGuard no_grad;
  const proto::ModelConfig& model_config = model.config().model();
  const int64_t actions = model.config().env().spec().action_size();
  const int64_t batch = inputs.observations.size(0);
  Plans plans = EmptyPlans(actions, config.planner().horizon(), batch);
  const at::TensorOptions options = at::TensorOptions(model.dtype()).device(model.device());
  const at::Tensor latents = model.Encode(inputs.observations.to(options));
  const Gaussian policy = model.Policy(latents);
  const at::Tensor noise =
      Normal(inputs.seeds, {kExploration, 0}, {actions}, model.device()).to(options);
  const at::Tensor explore = ExploringStates(inputs).to(options).unsqueeze(1);
  const at::Tensor mean = SampleActions(policy, at::zeros_like(noise), model_config.policy_form());
  plans.actions.copy_(SampleActions(policy, explore * noise, model_config.policy_form()));
  plans.mean.copy_(mean);
  plans.std.copy_(policy.log_std.exp());
  const at::Tensor values =
      TwoHotDecode(model.q().Forward(at::cat({latents, mean}, -1)), BinsOf(model_config));
  plans.value.copy_(values.mean(0));
  plans.warm_start.zero_();
  return plans;
}

Plans PlanMppi(const WorldModel& model, const proto::RunConfig& config, const PlanInputs& inputs) {
  at::NoGradGuard no_grad;
  const int64_t batch = inputs.observations.size(0);
  const int64_t horizon = config.planner().horizon();
  const Plans plans = EmptyPlans(model.config().env().spec().action_size(), horizon, batch);
  const at::Tensor guess = FirstGuess(model, horizon, inputs);
  const at::Tensor observations = inputs.observations.to(guess.options());
  const at::Tensor explore = ExploringStates(inputs).to(guess.device());

  int64_t per_pass = inputs.states_per_pass;
  if (per_pass == 0) per_pass = model.device().is_cpu() ? 1 : batch;
  for (int64_t begin = 0; begin < batch; begin += per_pass) {
    const int64_t count = std::min(per_pass, batch - begin);
    const auto seeds = absl::MakeConstSpan(inputs.seeds)
                           .subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
    const auto part = [&](const at::Tensor& x) { return x.narrow(0, begin, count); };
    Search search(model, config, seeds);
    const Search::Result result = search.Run(model.Encode(part(observations)), part(guess));
    ChooseActions(result, seeds, part(explore), config.planner().statistic(),
                  {part(plans.actions), part(plans.mean), part(plans.std), part(plans.value),
                   part(plans.warm_start)});
  }
  return plans;
}

}  // namespace pompc::model
