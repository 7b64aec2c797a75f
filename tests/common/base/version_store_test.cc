#include "common/base/version_store.h"

#include <vector>

#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kNotKept = absl::ZeroDuration();

class Model {
 public:
  explicit Model(ParameterVersion version) : version_(version) {}
  ParameterVersion version() const { return version_; }

 private:
  const ParameterVersion version_;
};

std::shared_ptr<const Model> MakeModel(uint64_t number, uint64_t incarnation = 1) {
  return std::make_shared<Model>(ParameterVersion{incarnation, number});
}

class VersionStoreTest : public ::testing::Test {
 protected:
  std::vector<ParameterVersion> KeptVersions() const {
    std::vector<ParameterVersion> versions;
    for (const auto& kept : store_.Kept()) versions.push_back(kept->version());
    return versions;
  }

  FakeClock clock_;
  VersionStore<Model> store_{&clock_, 2};
};

TEST_F(VersionStoreTest, HoldsNothingAtFirst) {
  EXPECT_EQ(store_.Newest(), nullptr);
  EXPECT_EQ(store_.Find({1, 1}), nullptr);
  EXPECT_THAT(KeptVersions(), IsEmpty());
}

TEST_F(VersionStoreTest, NewestIsTheGreatestVersionWhateverTheOrder) {
  store_.Put(MakeModel(2), kNotKept);
  store_.Put(MakeModel(1), kNotKept);
  EXPECT_EQ(store_.Newest()->version(), (ParameterVersion{1, 2}));
  store_.Put(MakeModel(1, /*incarnation=*/2), kNotKept);
  EXPECT_EQ(store_.Newest()->version(), (ParameterVersion{2, 1}));
}

TEST_F(VersionStoreTest, SupersededVersionIsGoneUnlessKept) {
  store_.Put(MakeModel(1), kNotKept);
  store_.Put(MakeModel(2), absl::Seconds(10));
  store_.Put(MakeModel(3), kNotKept);
  EXPECT_EQ(store_.Find({1, 1}), nullptr);
  ASSERT_NE(store_.Find({1, 2}), nullptr);
  EXPECT_EQ(store_.Find({1, 2})->version(), (ParameterVersion{1, 2}));
  EXPECT_NE(store_.Find({1, 3}), nullptr);
}

TEST_F(VersionStoreTest, KeptVersionIsGoneWhenItsTimeIsOver) {
  store_.Put(MakeModel(1), absl::Seconds(10));
  store_.Put(MakeModel(2), kNotKept);
  clock_.Advance(absl::Seconds(9));
  EXPECT_NE(store_.Find({1, 1}), nullptr);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(store_.Find({1, 1}), nullptr);
  EXPECT_THAT(KeptVersions(), IsEmpty());
}

TEST_F(VersionStoreTest, NewestOutlivesItsKeepTime) {
  store_.Put(MakeModel(1), absl::Seconds(10));
  clock_.Advance(absl::Seconds(60));
  EXPECT_NE(store_.Find({1, 1}), nullptr);
}

TEST_F(VersionStoreTest, VersionGivenAgainIsKeptForTheLongerTime) {
  store_.Put(MakeModel(1), absl::Seconds(10));
  store_.Put(MakeModel(2), kNotKept);
  clock_.Advance(absl::Seconds(5));
  store_.Put(MakeModel(1), absl::Seconds(10));
  EXPECT_THAT(KeptVersions(), ElementsAre(ParameterVersion{1, 1}));
  clock_.Advance(absl::Seconds(9));
  EXPECT_NE(store_.Find({1, 1}), nullptr);
}

TEST_F(VersionStoreTest, OldestKeptVersionGoesWhenTooManyAreKept) {
  for (uint64_t number = 1; number <= 3; ++number) {
    store_.Put(MakeModel(number), absl::Seconds(1000));
  }
  store_.Put(MakeModel(4), kNotKept);
  EXPECT_THAT(KeptVersions(), ElementsAre(ParameterVersion{1, 2}, ParameterVersion{1, 3}));
  EXPECT_EQ(store_.Find({1, 1}), nullptr);
}

TEST_F(VersionStoreTest, DroppedModelIsDestroyed) {
  auto model = MakeModel(1);
  std::weak_ptr<const Model> watched = model;
  store_.Put(std::move(model), absl::Seconds(10));
  store_.Put(MakeModel(2), kNotKept);
  EXPECT_FALSE(watched.expired());
  clock_.Advance(absl::Seconds(10));
  store_.Put(MakeModel(3), kNotKept);
  EXPECT_TRUE(watched.expired());
}

TEST_F(VersionStoreTest, VersionsMayComeGoAndBeFoundAtTheSameTime) {
  std::vector<Thread> threads;
  for (uint64_t incarnation = 1; incarnation <= 2; ++incarnation) {
    threads.emplace_back("put", [this, incarnation] {
      for (uint64_t number = 1; number <= 300; ++number) {
        store_.Put(MakeModel(number, incarnation), number % 3 == 0 ? absl::Seconds(5) : kNotKept);
      }
    });
    threads.emplace_back("find", [this] {
      ParameterVersion before;
      for (int i = 0; i < 300; ++i) {
        const auto newest = store_.Newest();
        if (newest == nullptr) continue;
        EXPECT_GE(newest->version(), before);
        before = newest->version();
        EXPECT_LE(store_.Kept().size(), 2u);
        store_.Find(before);
        clock_.Advance(absl::Milliseconds(10));
      }
    });
  }
  for (Thread& thread : threads) thread.Join();
  EXPECT_EQ(store_.Newest()->version(), (ParameterVersion{2, 300}));
}

}  // namespace
}  // namespace pompc
