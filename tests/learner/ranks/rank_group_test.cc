#include "learner/ranks/rank_group.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::learner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

proto::RankOrder Order(proto::RankOrder::Kind kind) {
  proto::RankOrder order;
  order.set_kind(kind);
  return order;
}

// Takes its orders when it hears of news, as a stream does.
class Taker : public RankGroup::Listener {
 public:
  Taker(RankGroup* group, int rank) : group_(group), rank_(rank) {}

  void OnNews() override {
    MutexLock lock(&mu_);
    while (std::optional<proto::RankOrder> order = group_->NextOrder(rank_)) {
      orders_.push_back(*std::move(order));
    }
    ended_ = group_->Ended(rank_);
  }
  std::vector<proto::RankOrder> orders() const {
    MutexLock lock(&mu_);
    return orders_;
  }
  std::optional<absl::Status> ended() const {
    MutexLock lock(&mu_);
    return ended_;
  }

 private:
  RankGroup* const group_;
  const int rank_;
  mutable Mutex mu_;
  std::vector<proto::RankOrder> orders_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
};

absl::Status Join(RankGroup& group, int rank, std::shared_ptr<Taker> taker = nullptr) {
  return group.Join(rank, group.size(), "host:1", taker);
}

TEST(RankGroupTest, AloneItIsComplete) {
  RankGroup group(1);
  EXPECT_TRUE(group.AwaitAll(absl::ZeroDuration()));
  group.Tell(Order(proto::RankOrder::KEEP));
  EXPECT_TRUE(group.Lost().ok());
  EXPECT_EQ(group.present(), 1);
}

TEST(RankGroupTest, WaitsUntilAllHaveCome) {
  RankGroup group(3);
  ASSERT_TRUE(Join(group, 2).ok());
  EXPECT_FALSE(group.AwaitAll(absl::ZeroDuration()));
  EXPECT_EQ(group.Missing(), "rank 1 of 3");
  EXPECT_EQ(group.present(), 2);
  Thread later("join", [&] { EXPECT_TRUE(Join(group, 1).ok()); });
  EXPECT_TRUE(group.AwaitAll(absl::Seconds(20)));
  EXPECT_EQ(group.present(), 3);
}

TEST(RankGroupTest, EachIsToldEverythingInOrderAndThenTheEnd) {
  RankGroup group(3);
  std::vector<std::shared_ptr<Taker>> takers;
  for (int rank = 1; rank < 3; ++rank) {
    takers.push_back(std::make_shared<Taker>(&group, rank));
    ASSERT_TRUE(Join(group, rank, takers.back()).ok());
  }
  ASSERT_TRUE(group.AwaitAll(absl::ZeroDuration()));
  proto::RankOrder draw = Order(proto::RankOrder::DRAW);
  draw.add_masses(5);
  draw.add_masses(7);
  group.Tell(draw);
  proto::RankOrder step = Order(proto::RankOrder::STEP);
  step.set_want_values(true);
  group.Tell(step);
  group.Close(absl::InternalError("why"));
  for (const auto& taker : takers) {
    const std::vector<proto::RankOrder> orders = taker->orders();
    ASSERT_EQ(orders.size(), 2u);
    EXPECT_THAT(orders[0].masses(), ElementsAre(5u, 7u));
    EXPECT_EQ(orders[1].kind(), proto::RankOrder::STEP);
    EXPECT_TRUE(orders[1].want_values());
    EXPECT_EQ(taker->ended(), absl::InternalError("why"));
  }
  EXPECT_EQ(Join(group, 1).code(), absl::StatusCode::kUnavailable);
}

TEST(RankGroupTest, APlaceIsFreeAgainUntilAllWereThere) {
  RankGroup group(2);
  ASSERT_TRUE(Join(group, 1).ok());
  const absl::Status taken = Join(group, 1);
  EXPECT_EQ(taken.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(taken.message()), HasSubstr("rank 1 is already present: host:1"));
  group.Leave(1);
  EXPECT_TRUE(group.Lost().ok());
  ASSERT_TRUE(Join(group, 1).ok());
  ASSERT_TRUE(group.AwaitAll(absl::ZeroDuration()));
  group.Leave(1);
  EXPECT_EQ(group.Lost(), absl::UnavailableError("rank 1 (host:1) of 2 is gone"));
  EXPECT_EQ(Join(group, 1).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(group.WhoIsGone(absl::UnknownError("x"), absl::ZeroDuration()), group.Lost());
}

TEST(RankGroupTest, WhoIsThereAndDoesNotAnswerIsNamed) {
  FakeClock clock;
  RankGroup group(2, &clock);
  ASSERT_TRUE(Join(group, 1).ok());
  ASSERT_TRUE(group.AwaitAll(absl::ZeroDuration()));
  const absl::Status status =
      group.WhoIsGone(absl::UnavailableError("timed out"), absl::ZeroDuration());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "rank 1 (host:1) of 2 does not answer in time: timed out");
}

TEST(RankGroupTest, WhoTakesNoOrdersIsLost) {
  RankGroup group(2);
  ASSERT_TRUE(Join(group, 1).ok());
  ASSERT_TRUE(group.AwaitAll(absl::ZeroDuration()));
  for (size_t i = 0; i < RankGroup::kMaxOrders; ++i) group.Tell(Order(proto::RankOrder::KEEP));
  EXPECT_TRUE(group.Lost().ok());
  group.Tell(Order(proto::RankOrder::KEEP));
  EXPECT_FALSE(group.Lost().ok());
}

TEST(RankGroupTest, PlacesThatDoNotExistAreRefused) {
  RankGroup group(2);
  EXPECT_EQ(Join(group, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Join(group, 2).code(), absl::StatusCode::kInvalidArgument);
  const absl::Status size = group.Join(1, 3, "a", {});
  EXPECT_EQ(size.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(size.message(), "rank 0 was started with --world-size 2, rank 1 with 3");
}

TEST(RankGroupTest, RanksMayComeGoAndListenWhileOrdersAreGiven) {
  RankGroup group(4);
  std::vector<Thread> ranks;
  for (int rank = 1; rank < 4; ++rank) {
    ranks.emplace_back("rank", [&group, rank] {
      const auto taker = std::make_shared<Taker>(&group, rank);
      EXPECT_TRUE(Join(group, rank, taker).ok());
      EXPECT_TRUE(group.AwaitAll(absl::Seconds(20)));
      for (int i = 0; i < 100; ++i) taker->OnNews();
      group.Leave(rank);
    });
  }
  EXPECT_TRUE(group.AwaitAll(absl::Seconds(20)));
  for (int i = 0; i < 100; ++i) group.Tell(Order(proto::RankOrder::DRAW));
  for (Thread& rank : ranks) rank.Join();
  EXPECT_FALSE(group.Lost().ok());
  group.Close(absl::OkStatus());
}

}  // namespace
}  // namespace pompc::learner
