// Models and requests for the tests of plans.
#ifndef POMPC_TESTS_MODEL_PLANNING_PLAN_INPUTS_H_
#define POMPC_TESTS_MODEL_PLANNING_PLAN_INPUTS_H_

#include <cstddef>
#include <cstdint>

#include "model/planning/plan.h"
#include "tests/model/testing.h"

namespace pompc::model {

// A model with arbitrary rewards and values; fresh ones are zero, where all plans tie.
inline WorldModel ModelWithValues(const proto::RunConfig& config, uint64_t seed = 1) {
  const WorldModel model = WorldModel::Create(config, at::kCPU, seed);
  model.flat().add_(Draw(seed + 20, {model.NumParameters()}) * 0.3);
  return model;
}

// Requests of all kinds, with and without warm start, evaluating or not: the first has none and
// evaluates. Their numbers are a function of the seed.
inline PlanInputs SomePlanInputs(const proto::RunConfig& config, int64_t batch, uint64_t seed) {
  const proto::EnvSpec& spec = config.env().spec();
  PlanInputs inputs;
  inputs.observations = Draw(seed, {batch, spec.observation_size()});
  inputs.warm_start =
      Draw(seed + 1, {batch, config.planner().horizon(), spec.action_size()}).clamp(-1, 1);
  for (int64_t b = 0; b < batch; ++b) {
    inputs.has_warm_start.push_back(b % 3 != 0);
    inputs.evaluate.push_back(b % 2 == 0);
    inputs.seeds.push_back(seed * 1000 + static_cast<uint64_t>(b));
  }
  return inputs;
}

// The request of one state.
inline PlanInputs OneOf(const PlanInputs& inputs, int64_t b) {
  const size_t i = static_cast<size_t>(b);
  PlanInputs one;
  one.observations = inputs.observations.narrow(0, b, 1);
  one.warm_start = inputs.warm_start.narrow(0, b, 1);
  one.has_warm_start = {inputs.has_warm_start[i]};
  one.evaluate = {inputs.evaluate[i]};
  one.seeds = {inputs.seeds[i]};
  return one;
}

}  // namespace pompc::model

#endif  // POMPC_TESTS_MODEL_PLANNING_PLAN_INPUTS_H_
