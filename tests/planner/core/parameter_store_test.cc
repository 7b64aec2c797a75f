#include "planner/core/parameter_store.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/planner/core/fake_backend.h"

namespace pompc::planner {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kNotKept = absl::ZeroDuration();

class ParameterStoreTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  ParameterStore store_{&clock_, 2};
};

TEST_F(ParameterStoreTest, HoldsNothingAtFirst) {
  EXPECT_EQ(store_.Newest(), nullptr);
  EXPECT_EQ(store_.Find({1, 1}), nullptr);
  EXPECT_THAT(store_.KeptVersions(), IsEmpty());
}

TEST_F(ParameterStoreTest, NewestIsTheGreatestVersionWhateverTheOrder) {
  store_.Put(FakeModel(2), kNotKept);
  store_.Put(FakeModel(1), kNotKept);
  EXPECT_EQ(store_.Newest()->version(), (ParameterVersion{1, 2}));
  store_.Put(FakeModel(1, FakeSpec(), /*incarnation=*/2), kNotKept);
  EXPECT_EQ(store_.Newest()->version(), (ParameterVersion{2, 1}));
}

TEST_F(ParameterStoreTest, SupersededVersionIsGoneUnlessKept) {
  store_.Put(FakeModel(1), kNotKept);
  store_.Put(FakeModel(2), absl::Seconds(10));
  store_.Put(FakeModel(3), kNotKept);
  EXPECT_EQ(store_.Find({1, 1}), nullptr);
  ASSERT_NE(store_.Find({1, 2}), nullptr);
  EXPECT_EQ(store_.Find({1, 2})->version(), (ParameterVersion{1, 2}));
  EXPECT_NE(store_.Find({1, 3}), nullptr);
}

TEST_F(ParameterStoreTest, KeptVersionIsGoneWhenItsTimeIsOver) {
  store_.Put(FakeModel(1), absl::Seconds(10));
  store_.Put(FakeModel(2), kNotKept);
  clock_.Advance(absl::Seconds(9));
  EXPECT_NE(store_.Find({1, 1}), nullptr);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(store_.Find({1, 1}), nullptr);
  EXPECT_THAT(store_.KeptVersions(), IsEmpty());
}

TEST_F(ParameterStoreTest, NewestOutlivesItsKeepTime) {
  store_.Put(FakeModel(1), absl::Seconds(10));
  clock_.Advance(absl::Seconds(60));
  EXPECT_NE(store_.Find({1, 1}), nullptr);
}

TEST_F(ParameterStoreTest, VersionGivenAgainIsKeptForTheLongerTime) {
  store_.Put(FakeModel(1), absl::Seconds(10));
  store_.Put(FakeModel(2), kNotKept);
  clock_.Advance(absl::Seconds(5));
  store_.Put(FakeModel(1), absl::Seconds(10));
  EXPECT_THAT(store_.KeptVersions(), ElementsAre(ParameterVersion{1, 1}));
  clock_.Advance(absl::Seconds(9));
  EXPECT_NE(store_.Find({1, 1}), nullptr);
}

TEST_F(ParameterStoreTest, OldestKeptVersionGoesWhenTooManyAreKept) {
  for (uint64_t number = 1; number <= 3; ++number) {
    store_.Put(FakeModel(number), absl::Seconds(1000));
  }
  store_.Put(FakeModel(4), kNotKept);
  EXPECT_THAT(store_.KeptVersions(), ElementsAre(ParameterVersion{1, 2}, ParameterVersion{1, 3}));
  EXPECT_EQ(store_.Find({1, 1}), nullptr);
}

TEST_F(ParameterStoreTest, DroppedModelIsDestroyed) {
  auto model = FakeModel(1);
  std::weak_ptr<const PlannerModel> watched = model;
  store_.Put(std::move(model), absl::Seconds(10));
  store_.Put(FakeModel(2), kNotKept);
  EXPECT_FALSE(watched.expired());
  clock_.Advance(absl::Seconds(10));
  store_.Put(FakeModel(3), kNotKept);
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace pompc::planner
