#include "model/policy.h"

#include <gtest/gtest.h>

#include "tests/model/testing.h"

namespace pompc::model {
namespace {

TEST(PolicyTest, StaysInItsRange) {
  const proto::RunConfig config = SmallConfig();
  const Gaussian far = PolicyFromRaw(at::tensor({100.0, -100.0, 100.0, -100.0}), config.model());
  EXPECT_TRUE(AllClose(far.mean, at::tensor({1.0, -1.0}), 1e-12));
  EXPECT_TRUE(AllClose(far.log_std,
                       at::tensor({config.model().log_std_max(), config.model().log_std_min()}),
                       1e-12));
  const Gaussian centre = PolicyFromRaw(at::zeros({4}), config.model());
  EXPECT_TRUE(AllClose(centre.log_std, at::full({2}, -1.0), 1e-6));
}

TEST(PolicyTest, SamplesAreClippedAndPassGradientsInside) {
  at::Tensor mean = at::tensor({0.9, 0.0, -0.9}).requires_grad_(true);
  const Gaussian p{mean, at::zeros({3}, at::kDouble)};
  const at::Tensor sample =
      SampleActions(p, at::tensor({1.0, 0.5, -1.0}), proto::ModelConfig::CLIPPED_GAUSSIAN);
  EXPECT_TRUE(AllClose(sample, at::tensor({1.0, 0.5, -1.0}), 1e-12));
  sample.sum().backward();
  EXPECT_TRUE(AllClose(mean.grad(), at::tensor({0.0, 1.0, 0.0}), 1e-12));
}

TEST(PolicyTest, SquashedFormLeavesTheMeanToTheSamples) {
  proto::RunConfig config = SmallConfig();
  config.mutable_model()->set_policy_form(proto::ModelConfig::TANH_GAUSSIAN);
  config.mutable_model()->set_log_std_min(-10);
  config.mutable_model()->set_log_std_max(2);
  const at::Tensor raw = at::tensor({3.0, -0.5, 100.0, 0.0});
  const Gaussian policy = PolicyFromRaw(raw, config.model());
  EXPECT_TRUE(AllClose(policy.mean, at::tensor({3.0, -0.5}), 1e-12));
  EXPECT_TRUE(AllClose(policy.log_std, at::tensor({2.0, -4.0}), 1e-12));
  const at::Tensor noise = at::tensor({-0.5, 2.0});
  const at::Tensor expected = at::tanh(policy.mean + policy.log_std.exp() * noise);
  EXPECT_TRUE(
      AllClose(SampleActions(policy, noise, proto::ModelConfig::TANH_GAUSSIAN), expected, 1e-12));
}

}  // namespace
}  // namespace pompc::model
