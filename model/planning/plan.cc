#include "model/planning/plan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "model/ops.h"
#include "model/planning/search.h"
#include "model/planning/trajectories.h"
#include "model/random.h"

namespace pompc::model {
namespace {

// Searches from the states with these latents [S, L]; `problem` lacks what the model decides.
SearchResult SearchFrom(const WorldModel& model, const proto::RunConfig& config,
                        const at::Tensor& latents, SearchProblem problem) {
  const at::Tensor& guess = problem.guess;
  const int64_t actions = guess.size(2);
  if (const int64_t count = config.planner().policy_samples(); count > 0) {
    const at::Tensor noise = Draw(problem, kPolicySequences, 0, {count, guess.size(1), actions});
    problem.policy_sequences = PolicySequences(model, latents, noise);
  }
  problem.values = [&](const at::Tensor& sequences, int iteration) {
    const int64_t count = sequences.size(1);
    // Every iteration asks other members of the ensemble at other terminal actions, so that a
    // sequence cannot stay an elite by the luck of one draw.
    TrajectoryDraws draws;
    draws.noise = Draw(problem, kTerminalAction, iteration, {count, actions});
    const int num_q = static_cast<int>(model.config().model().num_q());
    for (const uint64_t seed : problem.seeds) {
      for (const int member :
           RandomPair(seed, {kQMembers, static_cast<uint32_t>(iteration)}, num_q)) {
        draws.members.push_back(member);
      }
    }
    return TrajectoryValues(model, config.learner().discount(), latents, sequences, draws);
  };
  return Search(problem);
}

struct Statistic {
  at::Tensor mean, std;  // [S, A]
};

// What plans say of their first decision (docs/algorithm.md, Planning).
Statistic FirstDecision(const SearchResult& search, proto::PlannerConfig::Statistic statistic) {
  const at::Tensor std = search.std.select(1, 0);
  if (statistic == proto::PlannerConfig::ELITE) return {search.action, std};
  if (statistic == proto::PlannerConfig::MEAN) return {search.mean.select(1, 0), std};
  const at::Tensor first = search.elites.sequences.select(2, 0);
  const at::Tensor best = first.select(1, 0);
  const at::Tensor deviation = (first - best.unsqueeze(1)).square();
  return {best, ((search.weights.unsqueeze(-1) * deviation).sum(1) + 1e-6).sqrt()};
}

// Copies what the plans say of these states to their rows in `out`; actions get exploration noise
// where `explore` [S] is 1.
void Fill(const SearchResult& search, absl::Span<const uint64_t> seeds, const at::Tensor& explore,
          proto::PlannerConfig::Statistic statistic, const Plans& out) {
  const at::TensorOptions options = search.action.options();
  // Noise is drawn for evaluations too and multiplied by 0, so that a batch can mix both kinds.
  const at::Tensor noise =
      Normal(seeds, {kExploration, 0}, {search.action.size(1)}, options.device()).to(options);
  const at::Tensor std = search.std.select(1, 0);
  out.actions.copy_((search.action + explore.to(options).unsqueeze(1) * std * noise).clamp_(-1, 1));
  const Statistic stored = FirstDecision(search, statistic);
  out.mean.copy_(stored.mean);
  out.std.copy_(stored.std);
  out.value.copy_(search.value);
  out.warm_start.copy_(search.mean);
}

// The previous means moved on by one decision, zeros where there are none, [B, H, A].
at::Tensor FirstGuess(const WorldModel& model, int64_t horizon, const PlanInputs& inputs) {
  const int64_t batch = inputs.observations.size(0);
  const int64_t actions = model.config().env().spec().action_size();
  at::Tensor guess =
      at::zeros({batch, horizon, actions}, at::TensorOptions(model.dtype()).device(model.device()));
  if (!inputs.warm_start.defined()) return guess;
  POMPC_CHECK(inputs.warm_start.sizes() == guess.sizes(), "warm_start is [B, H, A]");
  if (horizon == 1) return guess;
  // Decision t + 1 of the previous plan is decision t of this one. Nothing is known of the last
  // decision, which stays zero.
  at::Tensor shifted = inputs.warm_start.narrow(1, 1, horizon - 1).to(guess.options());
  if (!inputs.has_warm_start.empty()) {
    POMPC_CHECK_EQ(static_cast<int64_t>(inputs.has_warm_start.size()), batch);
    at::Tensor mask = at::empty({batch, 1, 1}, at::kFloat);
    for (int64_t b = 0; b < batch; ++b)
      mask.data_ptr<float>()[b] = inputs.has_warm_start[static_cast<size_t>(b)];
    // The input may be anything where the mask is 0, NaN included, so it is not multiplied by it.
    shifted = at::where(mask.to(guess.device()).gt(0), shifted, at::zeros({}, guess.options()));
  }
  guess.narrow(1, 0, horizon - 1).copy_(shifted);
  return guess;
}

Plans EmptyPlans(const WorldModel& model, const proto::RunConfig& config,
                 const PlanInputs& inputs) {
  const int64_t batch = inputs.observations.size(0);
  const int64_t actions = model.config().env().spec().action_size();
  POMPC_CHECK_EQ(inputs.observations.size(1),
                 static_cast<int64_t>(model.config().env().spec().observation_size()));
  POMPC_CHECK_EQ(static_cast<int64_t>(inputs.seeds.size()), batch);
  POMPC_CHECK(inputs.evaluate.empty() || static_cast<int64_t>(inputs.evaluate.size()) == batch);
  POMPC_CHECK(inputs.finish_by.empty() || static_cast<int64_t>(inputs.finish_by.size()) == batch);
  return {at::empty({batch, actions}),
          at::empty({batch, actions}),
          at::empty({batch, actions}),
          at::empty({batch}),
          at::empty({batch, config.planner().horizon(), actions}),
          std::vector<int>(static_cast<size_t>(batch))};
}

// 1 where the plan has exploration noise, else 0, [B].
at::Tensor ExploringStates(const PlanInputs& inputs) {
  at::Tensor explore = at::ones({inputs.observations.size(0)});
  for (size_t b = 0; b < inputs.evaluate.size(); ++b)
    explore.data_ptr<float>()[b] = inputs.evaluate[b] ? 0 : 1;
  return explore;
}

// The earliest time by which one of the plans [begin, begin + count) should be there.
absl::Duration EarliestEnd(const PlanInputs& inputs, int64_t begin, int64_t count) {
  if (inputs.finish_by.empty()) return absl::InfiniteDuration();
  const auto first = inputs.finish_by.begin() + begin;
  return *std::min_element(first, first + count);
}

}  // namespace

Plans Plan(const WorldModel& model, const proto::RunConfig& config, const PlanInputs& inputs) {
  at::NoGradGuard no_grad;
  const int64_t batch = inputs.observations.size(0);
  Plans plans = EmptyPlans(model, config, inputs);
  const at::Tensor guess = FirstGuess(model, config.planner().horizon(), inputs);
  const at::Tensor observations = inputs.observations.to(guess.options());
  const at::Tensor explore = ExploringStates(inputs).to(guess.device());

  // On a CPU one state's samples fill a pass through the networks, and a state planned by itself
  // does not depend on the batch. A GPU needs all states at once to be busy.
  int64_t per_pass = inputs.states_per_pass;
  if (per_pass == 0) per_pass = model.device().is_cpu() ? 1 : batch;
  for (int64_t begin = 0; begin < batch; begin += per_pass) {
    const int64_t count = std::min(per_pass, batch - begin);
    const auto seeds = absl::MakeConstSpan(inputs.seeds)
                           .subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
    const auto part = [&](const at::Tensor& x) { return x.narrow(0, begin, count); };
    SearchProblem problem{config.planner(), seeds, part(guess)};
    problem.finish_by = EarliestEnd(inputs, begin, count);
    problem.clock = inputs.clock;
    const SearchResult search =
        SearchFrom(model, config, model.Encode(part(observations)), std::move(problem));
    Fill(search, seeds, part(explore), config.planner().statistic(),
         {part(plans.actions),
          part(plans.mean),
          part(plans.std),
          part(plans.value),
          part(plans.warm_start),
          {}});
    std::fill_n(plans.iterations.begin() + begin, count, search.iterations);
  }
  return plans;
}

Plans ActByPolicy(const WorldModel& model, const proto::RunConfig& config,
                  const PlanInputs& inputs) {
  at::NoGradGuard no_grad;
  const proto::ModelConfig& model_config = model.config().model();
  const int64_t actions = model.config().env().spec().action_size();
  Plans plans = EmptyPlans(model, config, inputs);
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

}  // namespace pompc::model
