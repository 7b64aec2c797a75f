#include "model/planning/pass.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "model/planning/trajectories.h"
#include "model/random.h"

namespace pompc::model {
namespace {

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

// The previous means moved on by one decision, zeros where there are none, [B, H, A].
at::Tensor FirstGuess(const WorldModel& model, int64_t horizon, const PlanInputs& inputs) {
  const int64_t batch = inputs.observations.size(0);
  const int64_t actions = model.config().env().spec().action_size();
  at::Tensor guess = at::zeros({batch, horizon, actions}, model.dtype());
  if (!inputs.warm_start.defined()) return guess;
  if (horizon == 1) return guess;
  // Decision t + 1 of the previous plan is decision t of this one. Nothing is known of the last
  // decision, which stays zero.
  at::Tensor shifted = inputs.warm_start.narrow(1, 1, horizon - 1).to(guess.options());
  if (!inputs.has_warm_start.empty()) {
    at::Tensor mask = at::empty({batch, 1, 1}, at::kFloat);
    for (int64_t b = 0; b < batch; ++b)
      mask.data_ptr<float>()[b] = inputs.has_warm_start[static_cast<size_t>(b)];
    // The input may be anything where the mask is 0, NaN included, so it is not multiplied by it.
    shifted = at::where(mask.gt(0), shifted, at::zeros({}, guess.options()));
  }
  guess.narrow(1, 0, horizon - 1).copy_(shifted);
  return guess;
}

// Members of the Q ensemble for each iteration and seed, int64 [iterations, 2 B].
at::Tensor QMembers(const proto::ModelConfig& model, int64_t iterations,
                    const std::vector<uint64_t>& seeds) {
  const auto batch = static_cast<int64_t>(seeds.size());
  at::Tensor members = at::empty({iterations, 2 * batch}, at::kLong);
  int64_t* out = members.data_ptr<int64_t>();
  for (int64_t i = 0; i < iterations; ++i) {
    for (const uint64_t seed : seeds) {
      for (const int member : RandomPair(seed, {kQMembers, static_cast<uint32_t>(i)},
                                         static_cast<int>(model.num_q()))) {
        *out++ = member;
      }
    }
  }
  return members;
}

}  // namespace

PassInputs PassInputs::FromTensors(const std::vector<at::Tensor>& tensors) {
  POMPC_CHECK_EQ(tensors.size(), 5u);
  return {tensors[0], tensors[1], tensors[2], tensors[3], tensors[4]};
}

PassInputs PassInputs::To(at::Device device) const {
  std::vector<at::Tensor> moved = Tensors();
  for (at::Tensor& tensor : moved) tensor = tensor.to(device);
  return FromTensors(moved);
}

PassInputs PassInputs::States(int64_t begin, int64_t count) const {
  const auto part = [&](const at::Tensor& x) { return x.narrow(0, begin, count); };
  return {part(observations), part(guess), part(explore), part(seeds),
          members.narrow(1, 2 * begin, 2 * count)};
}

void CheckInputs(const proto::RunConfig& config, const PlanInputs& inputs) {
  const proto::EnvSpec& spec = config.env().spec();
  const int64_t batch = inputs.observations.size(0);
  const std::vector<int64_t> plan_shape = {batch, config.planner().horizon(), spec.action_size()};
  const auto fits = [&](const auto& x) {
    return x.empty() || static_cast<int64_t>(x.size()) == batch;
  };
  POMPC_CHECK_EQ(inputs.observations.size(1), static_cast<int64_t>(spec.observation_size()));
  POMPC_CHECK_EQ(static_cast<int64_t>(inputs.seeds.size()), batch);
  POMPC_CHECK(fits(inputs.evaluate) && fits(inputs.has_warm_start) && fits(inputs.finish_by));
  POMPC_CHECK(!inputs.warm_start.defined() || inputs.warm_start.sizes() == plan_shape,
              "warm_start is [B, H, A]");
}

PassInputs MakePassInputs(const WorldModel& model, const proto::RunConfig& config,
                          const PlanInputs& inputs) {
  CheckInputs(config, inputs);
  return {inputs.observations.to(at::kCPU, model.dtype()),
          FirstGuess(model, config.planner().horizon(), inputs), ExploringStates(inputs),
          SeedTensor(inputs.seeds, at::kCPU),
          QMembers(model.config().model(), config.planner().iterations(), inputs.seeds)};
}

SearchResult SearchPass(const WorldModel& model, const proto::RunConfig& config,
                        const PassInputs& inputs, absl::Duration finish_by, const Clock* clock) {
  const at::Tensor latents = model.Encode(inputs.observations);
  SearchProblem problem{config.planner(), inputs.seeds, inputs.guess};
  problem.finish_by = finish_by;
  problem.clock = clock;
  const int64_t actions = inputs.guess.size(2);
  if (const int64_t count = config.planner().policy_samples(); count > 0) {
    const at::Tensor noise =
        Draw(problem, kPolicySequences, 0, {count, inputs.guess.size(1), actions});
    problem.policy_sequences = PolicySequences(model, latents, noise);
  }
  problem.values = [&](const at::Tensor& sequences, int iteration) {
    const int64_t count = sequences.size(1);
    // Every iteration asks other members of the ensemble at other terminal actions, so that a
    // sequence cannot stay an elite by the luck of one draw.
    const TrajectoryDraws draws = {Draw(problem, kTerminalAction, iteration, {count, actions}),
                                   inputs.members.select(0, iteration)};
    return TrajectoryValues(model, config.learner().discount(), latents, sequences, draws);
  };
  return Search(problem);
}

at::Tensor PlanPass(const WorldModel& model, const proto::RunConfig& config,
                    const PassInputs& inputs, absl::Duration finish_by, const Clock* clock,
                    int* iterations) {
  const SearchResult search = SearchPass(model, config, inputs, finish_by, clock);
  if (iterations != nullptr) *iterations = search.iterations;
  // Noise is drawn for evaluations too and multiplied by 0, so that a batch can mix both kinds.
  const at::Tensor noise =
      Normal(inputs.seeds, {kExploration, 0}, {search.action.size(1)}).to(search.action.dtype());
  const at::Tensor explore = inputs.explore.to(search.action.options()).unsqueeze(1);
  const at::Tensor action =
      (search.action + explore * search.std.select(1, 0) * noise).clamp_(-1, 1);
  const Statistic stored = FirstDecision(search, config.planner().statistic());
  return at::cat(
      {action, stored.mean, stored.std, search.value.unsqueeze(1), search.mean.flatten(1)}, 1);
}

void Unpack(const at::Tensor& packed, int64_t begin, const Plans& plans) {
  int64_t column = 0;
  for (const at::Tensor& all :
       {plans.actions, plans.mean, plans.std, plans.value, plans.warm_start}) {
    const at::Tensor rows = all.narrow(0, begin, packed.size(0));
    const int64_t columns = rows.numel() / rows.size(0);
    rows.copy_(packed.narrow(1, column, columns).view(rows.sizes()));
    column += columns;
  }
  POMPC_CHECK_EQ(column, packed.size(1));
}

Plans EmptyPlans(const proto::RunConfig& config, int64_t batch) {
  const int64_t actions = config.env().spec().action_size();
  return {at::empty({batch, actions}),
          at::empty({batch, actions}),
          at::empty({batch, actions}),
          at::empty({batch}),
          at::empty({batch, config.planner().horizon(), actions}),
          std::vector<int>(static_cast<size_t>(batch))};
}

absl::Duration EarliestEnd(const PlanInputs& inputs, int64_t begin, int64_t count) {
  if (inputs.finish_by.empty()) return absl::InfiniteDuration();
  const auto first = inputs.finish_by.begin() + begin;
  return *std::min_element(first, first + count);
}

at::Tensor ExploringStates(const PlanInputs& inputs) {
  POMPC_CHECK(inputs.evaluate.empty() || inputs.evaluate.size() == inputs.seeds.size());
  at::Tensor explore = at::ones({inputs.observations.size(0)});
  for (size_t b = 0; b < inputs.evaluate.size(); ++b)
    explore.data_ptr<float>()[b] = inputs.evaluate[b] ? 0 : 1;
  return explore;
}

}  // namespace pompc::model
