#include "replay/core/writer_queue.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::replay {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::IsEmpty;
using ::testing::Le;

class NoWaiter : public RoomWaiter {
 public:
  void OnRoom() override {}
};

class WriterQueueTest : public ::testing::Test {
 protected:
  WriterQueueTest() {
    for (int i = 0; i < 4; ++i) writers_.push_back(std::make_shared<NoWaiter>());
  }
  void Wait(size_t writer, uint64_t rows) {
    queue_.Wait(writers_[writer], BlockedBy::kGrant, rows);
  }
  uint64_t Claim(size_t writer, uint64_t room) {
    return queue_.Claim(writers_[writer].get(), room);
  }

  WriterQueue queue_;
  WriterQueue::Writers writers_;
};

TEST_F(WriterQueueTest, WhileNobodyWaitsAllRoomIsForWhoeverComes) {
  EXPECT_EQ(Claim(0, 7), 7);
  EXPECT_EQ(Claim(0, 0), 0);
  EXPECT_THAT(queue_.NextRound(7), IsEmpty());
}

TEST_F(WriterQueueTest, ARoundGivesEachWriterTheSameOrWhatItsChunkNeeds) {
  Wait(0, 100);
  Wait(1, 2);
  Wait(2, 100);
  EXPECT_THAT(queue_.NextRound(0), IsEmpty());
  EXPECT_THAT(queue_.NextRound(15), ElementsAre(writers_[0], writers_[1], writers_[2]));
  EXPECT_EQ(Claim(3, 15), 0) << "it was not woken";
  EXPECT_EQ(Claim(0, 15), 5);
  Wait(0, 95);
  EXPECT_EQ(Claim(1, 10), 2);
  EXPECT_EQ(Claim(2, 8), 5);
  EXPECT_EQ(Claim(2, 3), 0) << "a share is claimed once";
  EXPECT_THAT(queue_.NextRound(3), ElementsAre(writers_[0])) << "what the small chunk left";
  EXPECT_EQ(Claim(0, 3), 3);
  EXPECT_EQ(Claim(3, 1), 1) << "nobody waits";
}

TEST_F(WriterQueueTest, AWriterHasOnePlace) {
  Wait(0, 10);
  Wait(1, 10);
  Wait(0, 2);
  EXPECT_EQ(queue_.waiting(BlockedBy::kGrant), 2);
  EXPECT_THAT(queue_.NextRound(20), ElementsAre(writers_[0], writers_[1]));
  EXPECT_EQ(Claim(0, 20), 2);
}

TEST_F(WriterQueueTest, FewerRowsThanWritersGoToThoseWhoWaitedLongest) {
  for (size_t i = 0; i < 4; ++i) Wait(i, 10);
  EXPECT_THAT(queue_.NextRound(2), ElementsAre(writers_[0], writers_[1]));
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(Claim(i, 2 - i), 1);
    Wait(i, 9);
  }
  EXPECT_THAT(queue_.NextRound(3), ElementsAre(writers_[2], writers_[3], writers_[0]));
}

TEST_F(WriterQueueTest, AWriterThatLeavesGivesItsShareBack) {
  Wait(0, 10);
  Wait(1, 10);
  EXPECT_THAT(queue_.NextRound(10), ElementsAre(writers_[0], writers_[1]));
  queue_.Leave(writers_[1].get());
  EXPECT_EQ(Claim(0, 10), 10);
  Wait(1, 10);
  queue_.Leave(writers_[1].get());
  EXPECT_TRUE(queue_.empty());
}

TEST_F(WriterQueueTest, AShareThatIsNotClaimedIsGivenUpAtTheSecondCall) {
  Wait(0, 10);
  Wait(1, 10);
  EXPECT_THAT(queue_.NextRound(1), ElementsAre(writers_[0]));
  EXPECT_THAT(queue_.NextRound(1), IsEmpty());
  EXPECT_THAT(queue_.NextRound(1), ElementsAre(writers_[1]));
  EXPECT_EQ(Claim(0, 1), 0);
  EXPECT_EQ(Claim(1, 1), 1);
}

TEST_F(WriterQueueTest, AllAreTakenWhateverTheyWaitFor) {
  queue_.Wait(writers_[0], BlockedBy::kStore, 0);
  queue_.Wait(writers_[1], BlockedBy::kVersion, 0);
  Wait(2, 10);
  Wait(3, 10);
  EXPECT_EQ(queue_.waiting(BlockedBy::kStore), 1);
  EXPECT_EQ(queue_.waiting(BlockedBy::kVersion), 1);
  EXPECT_EQ(queue_.waiting(BlockedBy::kGrant), 2);
  EXPECT_THAT(queue_.NextRound(1), ElementsAre(writers_[2])) << "only who waits for rows";
  Wait(2, 10);
  EXPECT_THAT(queue_.TakeAll(0), ElementsAre(writers_[3], writers_[2], writers_[0], writers_[1]));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(WriterQueueTest, ALowerGrantLeavesNoMoreThanThereIs) {
  Wait(0, 10);
  Wait(1, 10);
  queue_.NextRound(8);
  EXPECT_EQ(Claim(0, 5), 1) << "four of the five are the other writer's";
  EXPECT_EQ(Claim(1, 4), 4);
}

// Writers that always have a chunk of their size ready, under grants that are smaller than what
// they want. Returns the rows that each has got.
std::vector<uint64_t> RowsUnder(uint64_t grant, const std::vector<uint64_t>& chunk_rows) {
  WriterQueue queue;
  WriterQueue::Writers writers;
  std::vector<uint64_t> taken(chunk_rows.size()), left = chunk_rows;
  uint64_t room = 0;
  const auto append = [&](size_t w) {
    // A chunk that is stored is followed by the next one at once: that one was not woken.
    while (true) {
      const uint64_t rows = std::min(left[w], queue.Claim(writers[w].get(), room));
      taken[w] += rows;
      room -= rows;
      left[w] -= rows;
      if (left[w] > 0) return queue.Wait(writers[w], BlockedBy::kGrant, left[w]);
      left[w] = chunk_rows[w];
    }
  };
  for (size_t w = 0; w < chunk_rows.size(); ++w) {
    writers.push_back(std::make_shared<NoWaiter>());
    append(w);
  }
  for (int i = 0; i < 1000; ++i) {
    room += grant;
    for (auto woken = queue.NextRound(room); !woken.empty(); woken = queue.NextRound(room)) {
      for (const auto& writer : woken) {
        append(std::find(writers.begin(), writers.end(), writer) - writers.begin());
      }
    }
    EXPECT_EQ(room, 0) << "no row is left while somebody waits";
  }
  return taken;
}

TEST(WriterQueueFairnessTest, WritersOfLargeAndSmallChunksGetEqualShares) {
  // Less than a row for each, less than a chunk, more than one, and numbers that divide nothing.
  for (const uint64_t grant : {1, 3, 7, 16, 37, 64}) {
    const std::vector<uint64_t> rows = RowsUnder(grant, {64, 64, 64, 16});
    const uint64_t share = 1000 * grant / 4;
    EXPECT_THAT(rows, Each(AllOf(Ge(share * 4 / 5), Le(share * 6 / 5)))) << "grant " << grant;
  }
}

TEST(WriterQueueFairnessTest, WhoseChunksAreSmallerThanItsShareGetsThemAllInEachRound) {
  for (const uint64_t grant : {8, 37, 100}) {
    EXPECT_GE(RowsUnder(grant, {64, 64, 64, 2})[3], 2 * 1000) << "grant " << grant;
  }
}

}  // namespace
}  // namespace pompc::replay
