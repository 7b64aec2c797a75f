// Plans over a model whose values are those of states.
#include <gtest/gtest.h>

#include <vector>

#include "model/ops.h"
#include "model/planning/plan.h"
#include "model/planning/trajectories.h"
#include "tests/model/testing.h"

namespace pompc::model {
namespace {

WorldModel MakeModel(const proto::RunConfig& config) {
  const WorldModel model = WorldModel::Create(config, at::kCPU, 1, at::kDouble);
  model.flat().add_(Draw(3, {model.NumParameters()}, at::kDouble) * 0.3);
  return model;
}

proto::RunConfig StateValues() {
  proto::RunConfig config = SmallConfig();
  config.mutable_model()->set_value_form(proto::ModelConfig::STATE_VALUES);
  config.mutable_po_mpc()->set_alpha(1);
  return *config::Derive(config);
}

TEST(StateValuesTest, TheLastStateOfASequenceIsValuedWithoutAnAction) {
  at::NoGradGuard no_grad;
  const proto::RunConfig config = StateValues();
  const WorldModel model = MakeModel(config);
  const Bins bins = BinsOf(config.model());
  const at::Tensor latents = model.Encode(Draw(5, {2, 3}, at::kDouble));
  const at::Tensor sequences = Draw(6, {2, 4, 2, 2}, at::kDouble).clamp(-1, 1);
  const std::vector<int64_t> members = {0, 2, 1, 2};
  TrajectoryDraws draws{Draw(7, {2, 4, 2}, at::kDouble), at::tensor(members, at::kLong)};
  const at::Tensor values = TrajectoryValues(model, 0.9, latents, sequences, draws);
  for (int64_t s = 0; s < 2; ++s) {
    at::Tensor z = latents[s].expand({4, -1});
    at::Tensor expected = at::zeros({4}, at::kDouble);
    for (int64_t t = 0; t < 2; ++t) {
      const at::Tensor input = at::cat({z, sequences[s].select(1, t)}, 1);
      expected += (t == 0 ? 1 : 0.9) * TwoHotDecode(model.reward().Forward(input), bins);
      z = model.dynamics().Forward(input);
    }
    const at::Tensor of_members = TwoHotDecode(model.q().Forward(z), bins);
    const auto pair = static_cast<size_t>(2 * s);
    expected += 0.81 * (of_members[members[pair]] + of_members[members[pair + 1]]) / 2;
    EXPECT_TRUE(AllClose(values[s], expected, 1e-9));
  }
  // The noise of an action at the end is for action values alone.
  draws.noise = draws.noise * -1;
  EXPECT_TRUE(at::equal(values, TrajectoryValues(model, 0.9, latents, sequences, draws)));
}

TEST(StateValuesTest, ThePolicyActsWithTheValueOfTheState) {
  const proto::RunConfig config = StateValues();
  const WorldModel model = MakeModel(config);
  PlanInputs inputs;
  inputs.observations = Draw(5, {3, 3});
  inputs.seeds = {1, 2, 3};
  const Plans plans = ActByPolicy(model, config, inputs);
  at::NoGradGuard no_grad;
  const at::Tensor latents = model.Encode(inputs.observations.to(at::kDouble));
  EXPECT_TRUE(AllClose(plans.value.to(at::kDouble),
                       TwoHotDecode(model.q().Forward(latents), BinsOf(config.model())).mean(0),
                       1e-5));
}

}  // namespace
}  // namespace pompc::model
