// What needs a CUDA device; skipped without one.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "common/values/not_finite.h"
#include "tests/learner/update/family.h"
#include "tests/learner/update/testing.h"

namespace pompc::update {
namespace {

constexpr uint64_t kSeed = 3;

Batch SomeBatch(const proto::RunConfig& config, uint64_t i) {
  Batch batch = MakeBatch(config, i, 32);
  if (i % 5 == 0) batch.has_plan.zero_();
  batch.has_plan[2].zero_();
  batch.terminated[1][1] = 1;
  return batch;
}

// All parameters and targets, on the CPU.
at::Tensor Numbers(const Updater& updater) {
  std::vector<at::Tensor> flat;
  for (const model::NamedTensor& named : updater.Export().tensors) {
    if (named.name.rfind("adam.", 0) != 0) flat.push_back(named.tensor.flatten());
  }
  return at::cat(flat).to(at::kDouble);
}

// The distance of two updaters that started from the same numbers, in units of the way they came.
double Distance(const Updater& a, const Updater& b, const at::Tensor& start) {
  const at::Tensor ours = Numbers(a);
  return ((Numbers(b) - ours).norm() / (ours - start).norm()).item<double>();
}

void Step(Updater& updater, const proto::RunConfig& config, uint64_t first, uint64_t last) {
  for (uint64_t i = first; i < last; ++i) {
    const auto metrics = updater.Step(SomeBatch(config, i), i % 4 == 1);
    ASSERT_TRUE(metrics.ok()) << metrics.status();
  }
}

class CudaTest : public ::testing::TestWithParam<FamilyMember> {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  }

  static std::unique_ptr<Updater> Make(at::Device device) {
    return Updater::Create(GetParam().config, device, kSeed);
  }
};

// Two float32 computations with sums in another order, one of kernels and one of ATen's operations,
// come within 1e-5 of each other where this is tried on a CPU.
constexpr double kClose = 1e-3;

TEST_P(CudaTest, ReplayedUpdatesAreThoseLaunchedOneByOne) {
  const auto replayed = Make(at::kCUDA);
  const auto launched = Make(at::kCUDA);
  auto own = model::MakeRecorder(replayed->model().device(), /*records=*/true);
  const model::Recorder& recorder = *own;
  replayed->SetRecorder(std::move(own));
  launched->SetRecorder(model::MakeRecorder(launched->model().device(), /*records=*/false));
  const at::Tensor start = Numbers(*replayed);
  Step(*replayed, GetParam().config, 0, 40);
  Step(*launched, GetParam().config, 0, 40);
  EXPECT_GE(recorder.replays(), 20);
  EXPECT_LT(Distance(*replayed, *launched, start), kClose);
  EXPECT_EQ(replayed->Export().metadata, launched->Export().metadata);
}

TEST_P(CudaTest, UpdatesAreThoseOfTheCpu) {
  const auto cuda = Make(at::kCUDA);
  const auto cpu = Make(at::kCPU);
  const at::Tensor start = Numbers(*cpu);
  EXPECT_TRUE(Numbers(*cuda).equal(start));
  Step(*cuda, GetParam().config, 0, 20);
  Step(*cpu, GetParam().config, 0, 20);
  EXPECT_LT(Distance(*cuda, *cpu, start), kClose);
}

TEST_P(CudaTest, MetricsAndGradientsAreThoseOfTheCpu) {
  const auto cuda = Make(at::kCUDA);
  const auto cpu = Make(at::kCPU);
  const auto& [name, config] = GetParam();
  const Batch batch = SomeBatch(config, 1);
  const Draws draws = DrawUpdate(config, {3, 32}, kSeed, 0);
  Draws on_device = draws;
  for (at::Tensor* tensor :
       {&on_device.target_noise, &on_device.target_members, &on_device.fit_dropout,
        &on_device.prior_noise, &on_device.policy_noise, &on_device.policy_members,
        &on_device.policy_dropout}) {
    if (tensor->defined()) *tensor = tensor->to(at::kCUDA);
  }
  const auto expected = cpu->Evaluate(batch, draws);
  const auto evaluation = cuda->Evaluate(batch, on_device);
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  ASSERT_EQ(evaluation->gradients.size(), expected->gradients.size());
  for (size_t i = 0; i < expected->gradients.size(); ++i) {
    const at::Tensor gradient = expected->gradients[i].tensor;
    EXPECT_TRUE(model::AllClose(evaluation->gradients[i].tensor.cpu(), gradient,
                                1e-6 + 1e-4 * gradient.abs().max().item<double>()))
        << expected->gradients[i].name;
  }
  const auto reported = cuda->Step(batch, true);
  const auto named = cpu->Step(batch, true)->Named();
  ASSERT_TRUE(reported.ok()) << reported.status();
  for (size_t i = 0; i < named.size(); ++i) {
    EXPECT_NEAR(reported->Named()[i].second, named[i].second,
                1e-5 + 1e-3 * std::abs(named[i].second))
        << named[i].first;
  }
}

TEST_P(CudaTest, GoesOnFromWhatItKeptWithItsRecordings) {
  const auto updater = Make(at::kCUDA);
  const auto undisturbed = Make(at::kCUDA);
  const at::Tensor start = Numbers(*updater);
  Step(*updater, GetParam().config, 0, 20);
  Step(*undisturbed, GetParam().config, 0, 40);
  ASSERT_TRUE(updater->Keep().ok());
  Batch spoilt = SomeBatch(GetParam().config, 1);
  spoilt.rewards[0][1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(updater->Step(spoilt, false).ok());
  EXPECT_EQ(NotFiniteName(updater->Keep()), "model");
  updater->GoBack();
  Step(*updater, GetParam().config, 20, 40);
  EXPECT_LT(Distance(*updater, *undisturbed, start), kClose);
  EXPECT_EQ(updater->Export().metadata, undisturbed->Export().metadata);
}

TEST_P(CudaTest, BatchesOfOtherSizesAreRecordedAnew) {
  const auto replayed = Make(at::kCUDA);
  const auto launched = Make(at::kCUDA);
  auto own = model::MakeRecorder(replayed->model().device(), /*records=*/true);
  const model::Recorder& recorder = *own;
  replayed->SetRecorder(std::move(own));
  launched->SetRecorder(nullptr);
  const at::Tensor start = Numbers(*replayed);
  int64_t before = 0;
  for (const int64_t size : {8, 5, 8}) {
    for (uint64_t i = 0; i < 6; ++i) {
      const Batch batch = MakeBatch(GetParam().config, i, size);
      ASSERT_TRUE(replayed->Step(batch, false).ok());
      ASSERT_TRUE(launched->Step(batch, false).ok());
    }
    EXPECT_GT(recorder.replays(), before);
    before = recorder.replays();
  }
  EXPECT_LT(Distance(*replayed, *launched, start), kClose);
}

INSTANTIATE_TEST_SUITE_P(Family, CudaTest, ::testing::ValuesIn(Family()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pompc::update
