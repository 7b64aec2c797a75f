#include "learner/feed/sample_values.h"

#include <string>
#include <utility>
#include <vector>

#include "common/values/float_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/replay/window_batch_testing.h"

namespace pompc::learner {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

// Windows of one row, of which only where they come from matters.
replay::WindowBatch Share(const std::vector<uint64_t>& versions,
                          const std::vector<uint64_t>& draws) {
  const auto count = static_cast<uint32_t>(draws.size());
  proto::SampleReply reply;
  proto::Windows* windows = reply.mutable_windows();
  windows->set_count(count);
  windows->set_horizon(1);
  const std::string states(count * 2 * sizeof(float), '\0');
  windows->set_observations(states);
  windows->set_plan_mean(states);
  windows->set_plan_std(states);
  windows->set_actions(std::string(count * sizeof(float), '\0'));
  windows->set_rewards(std::string(count * sizeof(float), '\0'));
  windows->set_terminated(std::string(count, '\0'));
  windows->set_has_plan(std::string(count * 2, '\0'));
  windows->set_addresses(std::string(count * 2 * sizeof(uint64_t), '\0'));
  windows->set_versions(ToBytes(absl::MakeConstSpan(versions)));
  windows->set_draws(ToBytes(absl::MakeConstSpan(draws)));
  windows->set_probabilities(ToBytes(absl::MakeConstSpan(std::vector<float>(count, 1))));
  return *replay::BatchOf(reply, {1, 1}, count, 1);
}

TEST(SampleValuesTest, MeansOverTheWindowsOfAllShares) {
  std::vector<replay::WindowBatch> shares;
  // Planned by versions 3.5 and 3.10; by nobody.
  shares.push_back(Share({3, 5, 3, 10}, {1, 4}));
  shares.push_back(Share({0, 0}, {7}));
  const SampleOrigins origins = OriginsOf(shares);
  EXPECT_THAT(origins.draws, ElementsAre(1, 4, 7));
  EXPECT_THAT(SampleValues(origins, {3, 12}),
              ElementsAre(Pair("staleness_versions", (7 + 2) / 2.0), Pair("sample_draws", 4)));
  EXPECT_THAT(SampleValueNames(), ElementsAre("staleness_versions", "sample_draws"));
}

TEST(SampleValuesTest, VersionsOfAnEarlierStartAreOlderThanAllOfThisOne) {
  std::vector<replay::WindowBatch> shares;
  shares.push_back(Share({2, 900}, {1}));
  EXPECT_THAT(SampleValues(OriginsOf(shares), {3, 12}),
              ElementsAre(Pair("staleness_versions", 12), Pair("sample_draws", 1)));
}

TEST(SampleValuesTest, WithoutAPlannedWindowNothingIsStale) {
  std::vector<replay::WindowBatch> shares;
  shares.push_back(Share({0, 0}, {2}));
  EXPECT_THAT(SampleValues(OriginsOf(shares), {1, 0}),
              ElementsAre(Pair("staleness_versions", 0), Pair("sample_draws", 2)));
}

}  // namespace
}  // namespace pompc::learner
