#include "parameters/publisher.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/parameters/snapshots.h"

namespace pompc::parameters {
namespace {

using ::testing::HasSubstr;

constexpr size_t kBytes = 8;

class PublisherTest : public ::testing::Test {
 protected:
  void Publish(uint64_t number, uint32_t keep_seconds = 0) {
    publisher_.Publish(TestSnapshot({1, number}, kBytes, keep_seconds));
  }
  // Number of the next version for the cursor; 0 if there is none.
  uint64_t Next(Publisher::Cursor& cursor) {
    const auto snapshot = publisher_.Next(&cursor);
    return snapshot == nullptr ? 0 : snapshot->version().number;
  }

  FakeClock clock_;
  Publisher publisher_{{.clock = &clock_, .max_kept = 2}};
};

TEST_F(PublisherTest, NothingIsNextBeforeTheFirstPublication) {
  Publisher::Cursor cursor;
  EXPECT_EQ(Next(cursor), 0u);
  EXPECT_EQ(publisher_.Newest(), nullptr);
}

TEST_F(PublisherTest, SubscriberSkipsToTheNewest) {
  Publisher::Cursor cursor;
  Publish(1);
  EXPECT_EQ(Next(cursor), 1u);
  EXPECT_EQ(Next(cursor), 0u);
  Publish(2);
  Publish(3);
  EXPECT_EQ(Next(cursor), 3u);
  EXPECT_EQ(Next(cursor), 0u);
}

TEST_F(PublisherTest, NewestIsNotSentToASubscriberThatHasIt) {
  Publish(1);
  Publisher::Cursor cursor;
  cursor.have = {1, 1};
  EXPECT_EQ(Next(cursor), 0u);
  Publish(2);
  EXPECT_EQ(Next(cursor), 2u);
}

TEST_F(PublisherTest, HigherIncarnationIsNewerWhateverItsNumber) {
  publisher_.Publish(TestSnapshot({2, 1}));
  Publisher::Cursor cursor;
  cursor.have = {1, 99};
  EXPECT_EQ(Next(cursor), 1u);
}

TEST_F(PublisherTest, NewSubscriberGetsTheNewestFirstThenTheKeptOnes) {
  Publish(1, /*keep_seconds=*/10);
  Publish(2, 10);
  Publish(3);
  Publisher::Cursor cursor;
  EXPECT_EQ(Next(cursor), 3u);
  EXPECT_EQ(Next(cursor), 1u);
  EXPECT_EQ(Next(cursor), 2u);
  EXPECT_EQ(Next(cursor), 0u);
}

TEST_F(PublisherTest, KeptVersionIsNotSkipped) {
  Publisher::Cursor cursor;
  Publish(1);
  EXPECT_EQ(Next(cursor), 1u);
  Publish(2, 10);
  Publish(3);
  Publish(4);
  EXPECT_EQ(Next(cursor), 2u);
  EXPECT_EQ(Next(cursor), 4u);
  EXPECT_EQ(Next(cursor), 0u);
}

TEST_F(PublisherTest, KeptVersionGivenAsNewestIsNotSentTwice) {
  Publisher::Cursor cursor;
  Publish(1, 10);
  EXPECT_EQ(Next(cursor), 1u);
  EXPECT_EQ(Next(cursor), 0u);
  Publish(2);
  EXPECT_EQ(Next(cursor), 2u);
  EXPECT_EQ(Next(cursor), 0u);
}

TEST_F(PublisherTest, ResumingSubscriberGetsKeptVersionsItMayHaveMissed) {
  Publish(1, 10);
  Publish(2);
  Publisher::Cursor cursor;
  cursor.have = {1, 2};
  EXPECT_EQ(Next(cursor), 1u);
  EXPECT_EQ(Next(cursor), 0u);
}

TEST_F(PublisherTest, KeptVersionIsGoneWhenItsTimeIsOver) {
  Publish(1, 10);
  Publish(2);
  EXPECT_NE(publisher_.Find({1, 1}), nullptr);
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(publisher_.Find({1, 1}), nullptr);
  Publisher::Cursor cursor;
  EXPECT_EQ(Next(cursor), 2u);
  EXPECT_EQ(Next(cursor), 0u);
}

TEST_F(PublisherTest, OldestKeptVersionGoesWhenThereAreTooMany) {
  for (uint64_t number = 1; number <= 3; ++number) Publish(number, 1000);
  Publish(4);
  EXPECT_EQ(publisher_.Find({1, 1}), nullptr);
  EXPECT_NE(publisher_.Find({1, 2}), nullptr);
  EXPECT_NE(publisher_.Find({1, 3}), nullptr);
  EXPECT_NE(publisher_.Find({1, 4}), nullptr);
}

TEST_F(PublisherTest, SupersededSnapshotIsDestroyed) {
  Publish(1);
  std::weak_ptr<const ParameterSnapshot> watched = publisher_.Newest();
  Publish(2);
  EXPECT_TRUE(watched.expired());
}

class CountingListener : public Publisher::Listener {
 public:
  void OnPublished() override { ++count; }
  int count = 0;
};

TEST_F(PublisherTest, ListenersHearOfPublicationsAndOfTheEnd) {
  const auto listener = std::make_shared<CountingListener>();
  publisher_.AddListener(listener);
  publisher_.AddListener(std::make_shared<CountingListener>());
  Publish(1);
  Publish(2);
  EXPECT_EQ(listener->count, 2);
  EXPECT_FALSE(publisher_.closed());
  publisher_.Close();
  EXPECT_EQ(listener->count, 3);
  EXPECT_TRUE(publisher_.closed());
  Publisher::Cursor cursor;
  EXPECT_EQ(Next(cursor), 0u);
}

TEST(SnapshotTest, MadeSnapshotIsConsistent) {
  const ParameterSnapshot snapshot = TestSnapshot({3, 4}, 1000);
  EXPECT_TRUE(CheckSnapshot(snapshot).ok());
  EXPECT_EQ(snapshot.version(), (ParameterVersion{3, 4}));
  EXPECT_EQ(snapshot.description.total_bytes(), 1000u);
}

TEST(SnapshotTest, ChangedBitIsDataLoss) {
  ParameterSnapshot snapshot = TestSnapshot({3, 4}, 1000);
  auto changed = std::make_shared<std::string>(*snapshot.data);
  (*changed)[500] ^= 1;
  snapshot.data = changed;
  const absl::Status status = CheckSnapshot(snapshot);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("parameters 3.4: CRC-32"));
}

TEST(SnapshotTest, MissingByteIsDataLoss) {
  ParameterSnapshot snapshot = TestSnapshot({3, 4}, 1000);
  snapshot.data = std::make_shared<std::string>(snapshot.data->substr(1));
  EXPECT_EQ(CheckSnapshot(snapshot).message(), "parameters 3.4: 999 bytes, 1000 announced");
}

TEST(SnapshotTest, TensorOutsideTheDataIsDataLoss) {
  ParameterSnapshot snapshot = TestSnapshot({3, 4}, 1000);
  snapshot.description.mutable_tensors(0)->set_offset(~uint64_t{0} - 10);
  const absl::Status status = CheckSnapshot(snapshot);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("tensor weight"));
}

TEST(SnapshotTest, Crc32IsThatOfZlib) { EXPECT_EQ(Crc32("123456789"), 0xcbf43926u); }

using PublisherDeathTest = PublisherTest;

TEST_F(PublisherDeathTest, AVersionThatIsNotNewerIsABug) {
  Publish(2);
  EXPECT_DEATH(Publish(1), "version 1.1 comes too late");
  EXPECT_DEATH(Publish(2), "version 1.2 comes too late");
}

}  // namespace
}  // namespace pompc::parameters
