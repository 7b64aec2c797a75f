#include "learner/control/leases.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

namespace pompc::learner {
namespace {

constexpr absl::Duration kStart = absl::Seconds(100);

Leases MakeLeases(int num_shards = 2, uint64_t learner_incarnation = 1) {
  return Leases(LeaseOptions{}, num_shards, learner_incarnation);
}

TEST(LeasesTest, IndexIsTheSmallestFreeOfTheRole) {
  Leases leases = MakeLeases();
  const Lease a0 = *leases.Register(Role::kActor, "a", 1, kStart);
  const Lease a1 = *leases.Register(Role::kActor, "b", 1, kStart);
  const Lease e0 = *leases.Register(Role::kEvaluator, "e", 0, kStart);
  EXPECT_EQ(a0.index, 0u);
  EXPECT_EQ(a1.index, 1u);
  EXPECT_EQ(e0.index, 0u);
  leases.End(a0.id);
  EXPECT_EQ(leases.Register(Role::kActor, "c", 1, kStart)->index, 0u);
}

TEST(LeasesTest, IncarnationsRiseAndLaterLearnersRiseAboveEarlierOnes) {
  Leases first = MakeLeases(2, 1);
  Leases second = MakeLeases(2, 2);
  const Lease a = *first.Register(Role::kActor, "a", 1, kStart);
  const Lease b = *first.Register(Role::kActor, "b", 1, kStart);
  const Lease c = *second.Register(Role::kActor, "c", 1, kStart);
  EXPECT_LT(a.incarnation, b.incarnation);
  EXPECT_LT(b.incarnation, c.incarnation);
  EXPECT_EQ(a.incarnation >> 32, 1u);
  EXPECT_EQ(c.incarnation >> 32, 2u);
}

TEST(LeasesTest, EnvironmentsAreSpreadOverShards) {
  Leases leases = MakeLeases(3);
  std::vector<int> load(3, 0);
  for (uint32_t environments : {1, 4, 2, 5}) {
    const Lease lease = *leases.Register(Role::kActor, "a", environments, kStart);
    for (uint32_t shard : lease.shards) ++load[shard];
  }
  EXPECT_EQ(*std::max_element(load.begin(), load.end()), 4);
  EXPECT_EQ(*std::min_element(load.begin(), load.end()), 4);
}

TEST(LeasesTest, EvaluatorsWriteToNoShard) {
  Leases leases = MakeLeases();
  EXPECT_TRUE(leases.Register(Role::kEvaluator, "e", 3, kStart)->shards.empty());
}

TEST(LeasesTest, APlaceThatBecameFreeIsFilledFirst) {
  Leases leases = MakeLeases(2);
  const Lease a = *leases.Register(Role::kActor, "a", 1, kStart);
  const Lease b = *leases.Register(Role::kActor, "b", 1, kStart);
  ASSERT_EQ(a.shards, std::vector<uint32_t>{0});
  ASSERT_EQ(b.shards, std::vector<uint32_t>{1});
  leases.End(b.id);
  EXPECT_EQ(leases.Register(Role::kActor, "c", 1, kStart)->shards, std::vector<uint32_t>{1});
}

TEST(LeasesTest, EndsWithItsHeartbeats) {
  Leases leases = MakeLeases();
  const Lease lease = *leases.Register(Role::kActor, "a", 1, kStart);
  const Lease silent = *leases.Register(Role::kActor, "b", 1, kStart);
  ASSERT_TRUE(leases.Heartbeat(lease.id, {.rows = 7}, kStart + absl::Seconds(9)).ok());
  EXPECT_EQ(leases.Find(lease.id)->counters.rows, 7u);
  const std::vector<Lease> ended = leases.Expire(kStart + absl::Seconds(10));
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].id, silent.id);
  EXPECT_EQ(leases.Heartbeat(silent.id, {}, kStart + absl::Seconds(10)).code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(leases.Expire(kStart + absl::Seconds(18)).empty());
  EXPECT_EQ(leases.Expire(kStart + absl::Seconds(19)).size(), 1u);
  EXPECT_FALSE(leases.Any(Role::kActor));
}

TEST(LeasesTest, LeaseOfAnEarlierLearnerIsNotFound) {
  Leases first = MakeLeases(2, 1);
  Leases second = MakeLeases(2, 2);
  const Lease lease = *first.Register(Role::kActor, "a", 1, kStart);
  ASSERT_TRUE(second.Register(Role::kActor, "b", 1, kStart).ok());
  EXPECT_EQ(second.Heartbeat(lease.id, {}, kStart).code(), absl::StatusCode::kNotFound);
}

TEST(LeasesTest, ActorWithoutEnvironmentsIsRefused) {
  Leases leases = MakeLeases();
  EXPECT_EQ(leases.Register(Role::kActor, "a", 0, kStart).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(leases.Register(Role::kActor, "a", 1u << 20, kStart).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(LeasesTest, OneLeaseTooManyIsRefused) {
  Leases leases(LeaseOptions{.max_leases = 2}, 1, 1);
  ASSERT_TRUE(leases.Register(Role::kActor, "a", 1, kStart).ok());
  ASSERT_TRUE(leases.Register(Role::kActor, "b", 1, kStart).ok());
  EXPECT_EQ(leases.Register(Role::kActor, "c", 1, kStart).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(LeasesTest, LongNamesAreCut) {
  Leases leases = MakeLeases();
  EXPECT_EQ(leases.Register(Role::kActor, std::string(5000, 'x'), 1, kStart)->name.size(), 128u);
}

}  // namespace
}  // namespace pompc::learner
