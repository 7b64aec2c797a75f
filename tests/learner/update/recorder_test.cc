#include "model/recorder.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/values/not_finite.h"
#include "model/ops.h"
#include "tests/learner/update/family.h"
#include "tests/learner/update/testing.h"
#include "tests/model/strict_recorder.h"

namespace pompc::update {
namespace {

// Steps `a` directly and `b` through a recorder on the same batches, which have plans or none, and
// with metrics or without.
void ExpectSameUpdates(Updater& a, Updater& b, const proto::RunConfig& config) {
  for (uint64_t i = 0; i < 8; ++i) {
    Batch batch = MakeBatch(config, i, i < 6 ? 6 : 4);
    if (i == 0 || i == 3) batch.has_plan.zero_();
    batch.terminated[1][1] = 1;
    const bool wanted = i % 2 == 1;
    const auto expected = a.Step(batch, wanted);
    const auto metrics = b.Step(batch, wanted);
    ASSERT_TRUE(expected.ok()) << expected.status();
    ASSERT_TRUE(metrics.ok()) << metrics.status();
    const auto names = expected->Named();
    for (size_t k = 0; k < names.size(); ++k) EXPECT_EQ(metrics->Named()[k], names[k]) << i;
  }
  const UpdaterState expected = a.Export();
  const UpdaterState state = b.Export();
  EXPECT_EQ(state.metadata, expected.metadata);
  ASSERT_EQ(state.tensors.size(), expected.tensors.size());
  for (size_t i = 0; i < state.tensors.size(); ++i) {
    EXPECT_TRUE(state.tensors[i].tensor.equal(expected.tensors[i].tensor)) << state.tensors[i].name;
  }
}

class RecordedFamilyTest : public ::testing::TestWithParam<FamilyMember> {};

TEST_P(RecordedFamilyTest, UpdatesAreTheSameWithARecorder) {
  const auto& [name, config] = GetParam();
  const auto a = MakeUpdater(config, 3);
  const auto b = MakeUpdater(config, 3);
  b->SetRecorder(std::make_unique<model::Recorder>(at::kCPU));
  ExpectSameUpdates(*a, *b, config);
}

TEST(RecordedUpdateTest, WeightedUpdatesAndTheirPrioritiesAreTheSameWithARecorder) {
  const proto::RunConfig config = model::SmallConfig();
  const auto a = MakeUpdater(config, 3);
  const auto b = MakeUpdater(config, 3);
  b->SetRecorder(std::make_unique<model::Recorder>(at::kCPU));
  for (uint64_t i = 0; i < 4; ++i) {
    Batch batch = MakeBatch(config, i);
    batch.importance = model::Draw(i + 9, {6}).abs() + 0.1;
    const bool wanted = i % 2 == 1;
    const auto expected = a->Step(batch, wanted);
    const auto metrics = b->Step(batch, wanted);
    ASSERT_TRUE(expected.ok() && metrics.ok());
    EXPECT_EQ(metrics->total_loss, expected->total_loss);
  }
  const std::vector<at::Tensor> expected = a->TakePriorities();
  const std::vector<at::Tensor> priorities = b->TakePriorities();
  ASSERT_EQ(expected.size(), 4u);
  ASSERT_EQ(priorities.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(priorities[i].equal(expected[i])) << i;
  EXPECT_FALSE(expected[0].equal(expected[1]));
  EXPECT_TRUE(a->TakePriorities().empty());
  EXPECT_TRUE(a->model().flat().equal(b->model().flat()));
}

// What other devices compute: ATen's operations alone.
TEST_P(RecordedFamilyTest, UpdatesOutOfAtenOperationsAreTheSameWithARecorder) {
  const auto& [name, config] = GetParam();
  const model::ReferenceScope scope;
  const auto a = MakeUpdater(config, 3);
  const auto b = MakeUpdater(config, 3);
  b->SetRecorder(std::make_unique<model::Recorder>(at::kCPU));
  ExpectSameUpdates(*a, *b, config);
}

// What a recording relies on, and what no device is needed to see: an operation that reads a
// number back, or a number of the host that changes from update to update.
TEST_P(RecordedFamilyTest, EveryUpdateOfAVariantIsTheSameOperationsAndNoneWaits) {
  const auto& [name, config] = GetParam();
  const model::ReferenceScope scope;
  const auto updater = MakeUpdater(config, 3);
  auto own = std::make_unique<model::StrictRecorder>(at::kCPU);
  const model::StrictRecorder& recorder = *own;
  updater->SetRecorder(std::move(own));
  for (uint64_t i = 0; i < 12; ++i) {
    Batch batch = MakeBatch(config, i);
    if (i < 4) batch.has_plan.zero_();
    ASSERT_TRUE(updater->Step(batch, i % 4 == 1).ok());
  }
  EXPECT_GE(recorder.replays(), 5);
}

INSTANTIATE_TEST_SUITE_P(Family, RecordedFamilyTest, ::testing::ValuesIn(Family()),
                         [](const auto& info) { return info.param.name; });

TEST(RecordedUpdateTest, NonFiniteGradientsAreFoundWhereMetricsAreWantedAndByKeep) {
  const proto::RunConfig config = model::SmallConfig();
  const auto updater = MakeUpdater(config);
  updater->SetRecorder(std::make_unique<model::Recorder>(at::kCPU));
  ASSERT_TRUE(updater->Step(MakeBatch(config, 1), false).ok());
  ASSERT_TRUE(updater->Keep().ok());
  const at::Tensor before = updater->model().flat().clone();
  Batch batch = MakeBatch(config, 2);
  batch.rewards[0][1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(updater->Step(batch, false).ok());
  EXPECT_EQ(NotFiniteName(updater->Keep()), "model");
  updater->GoBack();
  EXPECT_TRUE(updater->model().flat().equal(before));
  EXPECT_EQ(updater->update_count(), 1);
  const absl::Status status = updater->Step(batch, true).status();
  EXPECT_EQ(NotFiniteName(status), "model") << status;
  EXPECT_NE(status.message().find("in update 2"), std::string_view::npos) << status;
  updater->GoBack();
  EXPECT_TRUE(updater->Step(MakeBatch(config, 2), true).ok());
}

}  // namespace
}  // namespace pompc::update
