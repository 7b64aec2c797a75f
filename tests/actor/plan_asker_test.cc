#include <vector>

#include "actor/core/plan_source.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/actor/fakes.h"

namespace pompc::actor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PlanAskerTest : public ::testing::Test {
 protected:
  void Add(absl::Duration now, const PlanMode& mode = {}) { asker_.Add({}, mode, now); }

  // Which request each query went out in.
  std::vector<int> requests() const {
    std::vector<int> requests;
    for (const auto& asked : plans_.log()) requests.push_back(asked.request);
    return requests;
  }

  FakeClock clock_;
  Mailbox mailbox_{0, 1, &clock_};
  FakePlanSource plans_{2};
  PlanAsker asker_{&plans_, &mailbox_};
};

TEST_F(PlanAskerTest, WhatIsAddedGoesOutInOneRequest) {
  for (int i = 0; i < 3; ++i) Add(absl::ZeroDuration());
  EXPECT_THAT(requests(), IsEmpty());
  asker_.Send();
  EXPECT_THAT(requests(), ElementsAre(0, 0, 0));
  asker_.Send();
  Add(absl::ZeroDuration());
  asker_.Send();
  EXPECT_THAT(requests(), ElementsAre(0, 0, 0, 1));
}

TEST_F(PlanAskerTest, NoRequestHasMoreThanTheMostQueries) {
  for (size_t i = 0; i < PlanSource::kMaxQueries + 1; ++i) Add(absl::ZeroDuration());
  EXPECT_EQ(requests(), std::vector<int>(PlanSource::kMaxQueries, 0));
}

TEST_F(PlanAskerTest, NoRequestIsTooLargeForItsMessage) {
  // With its warm start one query takes more than half of a request.
  const std::vector<float> observation(100000), warm_start(64 * 1000);
  const PlanQuery query{.observation = observation, .warm_start = warm_start};
  for (int i = 0; i < 2; ++i) asker_.Add(query, {}, absl::ZeroDuration());
  EXPECT_THAT(requests(), ElementsAre(0));
  asker_.Add({}, {}, absl::ZeroDuration());
  asker_.Send();
  EXPECT_THAT(requests(), ElementsAre(0, 1, 1));
}

TEST_F(PlanAskerTest, QueriesDoNotWaitLongForOthers) {
  Add(absl::ZeroDuration());
  Add(PlanAsker::kGather / 2);
  EXPECT_THAT(requests(), IsEmpty());
  Add(PlanAsker::kGather);
  EXPECT_THAT(requests(), ElementsAre(0, 0, 0));
  Add(PlanAsker::kGather);
  EXPECT_EQ(requests().size(), 3u);
}

TEST_F(PlanAskerTest, QueriesOfTwoModesNeverShareARequest) {
  Add(absl::ZeroDuration(), {.evaluate = true, .pinned_version = {1, 1}});
  Add(absl::ZeroDuration(), {.evaluate = true, .pinned_version = {1, 2}});
  asker_.Send();
  EXPECT_THAT(requests(), ElementsAre(0, 1));
  EXPECT_EQ(plans_.log()[0].pinned_version, (ParameterVersion{1, 1}));
  EXPECT_EQ(plans_.log()[1].pinned_version, (ParameterVersion{1, 2}));
}

}  // namespace
}  // namespace pompc::actor
