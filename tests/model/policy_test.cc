#include "model/policy.h"

#include <gtest/gtest.h>

#include "tests/model/testing.h"

namespace pompc::model {
namespace {

TEST(PolicyTest, StaysInItsRange) {
  const ModelConfig config = SmallConfig();
  const Gaussian far = PolicyFromRaw(at::tensor({100.0, -100.0, 100.0, -100.0}), config);
  EXPECT_TRUE(AllClose(far.mean, at::tensor({1.0, -1.0}), 1e-12));
  EXPECT_TRUE(AllClose(far.log_std, at::tensor({config.log_std_max, config.log_std_min}), 1e-12));
  const Gaussian centre = PolicyFromRaw(at::zeros({4}), config);
  EXPECT_TRUE(AllClose(centre.log_std, at::full({2}, -1.0), 1e-6));
}

TEST(PolicyTest, SamplesAreClippedAndPassGradientsInside) {
  at::Tensor mean = at::tensor({0.9, 0.0, -0.9}).requires_grad_(true);
  const Gaussian p{mean, at::zeros({3}, at::kDouble)};
  const at::Tensor sample = SampleActions(p, at::tensor({1.0, 0.5, -1.0}));
  EXPECT_TRUE(AllClose(sample, at::tensor({1.0, 0.5, -1.0}), 1e-12));
  sample.sum().backward();
  EXPECT_TRUE(AllClose(mean.grad(), at::tensor({0.0, 1.0, 0.0}), 1e-12));
}

}  // namespace
}  // namespace pompc::model
