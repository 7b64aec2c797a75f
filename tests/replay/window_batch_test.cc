#include "replay/client/window_batch.h"

#include <limits>
#include <utility>
#include <vector>

#include "common/values/float_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/replay/window_batch_testing.h"

namespace pompc::replay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr RowSpec kSpec{.observation_size = 1, .action_size = 1};

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  return ToBytes(absl::MakeConstSpan(values));
}

// One window of one row.
proto::SampleReply Reply() {
  proto::SampleReply reply;
  proto::Windows* w = reply.mutable_windows();
  w->set_count(1);
  w->set_horizon(1);
  w->set_observations(Bytes<float>({1, 2}));
  w->set_actions(Bytes<float>({0.5f}));
  w->set_rewards(Bytes<float>({7}));
  w->set_terminated(Bytes<uint8_t>({1}));
  w->set_plan_mean(Bytes<float>({3, 4}));
  w->set_plan_std(Bytes<float>({5, 6}));
  w->set_has_plan(Bytes<uint8_t>({1, 0}));
  w->set_addresses(Bytes<uint64_t>({uint64_t{1} << 40, 12}));
  w->set_versions(Bytes<uint64_t>({2, uint64_t{1} << 40}));
  w->set_draws(Bytes<uint64_t>({8}));
  w->set_probabilities(Bytes<float>({0.25f}));
  reply.mutable_info()->set_windows(99);
  return reply;
}

TEST(WindowBatchTest, RefusesProbabilitiesThatNoDrawHas) {
  for (const float probability : {0.0f, -0.5f, 1.5f, std::numeric_limits<float>::quiet_NaN()}) {
    proto::SampleReply reply = Reply();
    reply.mutable_windows()->set_probabilities(Bytes<float>({probability}));
    const absl::Status status = BatchOf(reply, kSpec, 1, 1).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << probability;
    EXPECT_THAT(status.message(), HasSubstr("drawn with probability"));
  }
}

TEST(WindowBatchTest, GivesTheColumnsAsNumbersAlsoAfterAMove) {
  absl::StatusOr<WindowBatch> made = BatchOf(Reply(), kSpec, 1, 1);
  ASSERT_TRUE(made.ok()) << made.status();
  const WindowBatch batch = *std::move(made);
  EXPECT_EQ(batch.count(), 1);
  EXPECT_EQ(batch.horizon(), 1);
  EXPECT_THAT(batch.Numbers<float>("observations"), ElementsAre(1, 2));
  EXPECT_THAT(batch.Numbers<float>("actions"), ElementsAre(0.5f));
  EXPECT_THAT(batch.Numbers<float>("rewards"), ElementsAre(7));
  EXPECT_THAT(batch.Numbers<uint8_t>("terminated"), ElementsAre(1));
  EXPECT_THAT(batch.Numbers<float>("plan_mean"), ElementsAre(3, 4));
  EXPECT_THAT(batch.Numbers<float>("plan_std"), ElementsAre(5, 6));
  EXPECT_THAT(batch.Numbers<uint8_t>("has_plan"), ElementsAre(1, 0));
  EXPECT_THAT(batch.Numbers<uint64_t>("addresses"), ElementsAre(uint64_t{1} << 40, 12));
  EXPECT_THAT(batch.Numbers<ParameterVersion>("versions"),
              ElementsAre(ParameterVersion{2, uint64_t{1} << 40}));
  EXPECT_THAT(batch.Numbers<uint64_t>("draws"), ElementsAre(8));
  EXPECT_THAT(batch.Numbers<float>("probabilities"), ElementsAre(0.25f));
  EXPECT_EQ(batch.info().windows(), 99);
}

TEST(WindowBatchTest, ColumnOfAnotherSizeIsRefused) {
  proto::SampleReply reply = Reply();
  reply.mutable_windows()->set_rewards(Bytes<float>({7, 8}));
  const absl::Status status = BatchOf(reply, kSpec, 1, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("column rewards has 8 bytes, expected 4"));
}

TEST(WindowBatchTest, OtherWindowsThanAskedForAreRefused) {
  EXPECT_EQ(BatchOf(Reply(), kSpec, 1, 3).status().message(),
            "windows from replay: 1 of horizon 1, expected 1 of horizon 3");
  const absl::Status fewer = BatchOf(Reply(), kSpec, 2, 1).status();
  EXPECT_EQ(fewer.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(fewer.message(), "windows from replay: 1 of horizon 1, expected 2 of horizon 1");
}

}  // namespace
}  // namespace pompc::replay
