#include "run/control/leases.h"

#include <algorithm>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace pompc::run {
namespace {

constexpr absl::Duration kStart = absl::Seconds(100);

Leases MakeLeases(int num_shards = 2, uint64_t learner_incarnation = 1) {
  return Leases(LeaseOptions{}, num_shards, learner_incarnation);
}

TEST(LeasesTest, IndexIsTheSmallestFreeOfTheRole) {
  Leases leases = MakeLeases();
  const Lease a0 = *leases.Register(proto::ACTOR, "a", 1, kStart);
  const Lease a1 = *leases.Register(proto::ACTOR, "b", 1, kStart);
  const Lease e0 = *leases.Register(proto::EVALUATOR, "e", 0, kStart);
  EXPECT_EQ(a0.index, 0u);
  EXPECT_EQ(a1.index, 1u);
  EXPECT_EQ(e0.index, 0u);
  leases.End(a0.id);
  EXPECT_EQ(leases.Register(proto::ACTOR, "c", 1, kStart)->index, 0u);
}

TEST(LeasesTest, IncarnationsRiseAndLaterLearnersRiseAboveEarlierOnes) {
  Leases first = MakeLeases(2, 1);
  Leases second = MakeLeases(2, 2);
  const Lease a = *first.Register(proto::ACTOR, "a", 1, kStart);
  const Lease b = *first.Register(proto::ACTOR, "b", 1, kStart);
  const Lease c = *second.Register(proto::ACTOR, "c", 1, kStart);
  EXPECT_LT(a.incarnation, b.incarnation);
  EXPECT_LT(b.incarnation, c.incarnation);
  EXPECT_EQ(a.incarnation >> 32, 1u);
  EXPECT_EQ(c.incarnation >> 32, 2u);
}

TEST(LeasesTest, EnvironmentsAreSpreadOverShards) {
  Leases leases = MakeLeases(3);
  std::vector<int> load(3, 0);
  for (uint32_t environments : {1, 4, 2, 5}) {
    const Lease lease = *leases.Register(proto::ACTOR, "a", environments, kStart);
    for (uint32_t shard : lease.shards) ++load[shard];
  }
  EXPECT_EQ(*std::max_element(load.begin(), load.end()), 4);
  EXPECT_EQ(*std::min_element(load.begin(), load.end()), 4);
}

TEST(LeasesTest, EvaluatorsWriteToNoShard) {
  Leases leases = MakeLeases();
  EXPECT_TRUE(leases.Register(proto::EVALUATOR, "e", 3, kStart)->shards.empty());
}

TEST(LeasesTest, APlaceThatBecameFreeIsFilledFirst) {
  Leases leases = MakeLeases(2);
  const Lease a = *leases.Register(proto::ACTOR, "a", 1, kStart);
  const Lease b = *leases.Register(proto::ACTOR, "b", 1, kStart);
  ASSERT_EQ(a.shards, std::vector<uint32_t>{0});
  ASSERT_EQ(b.shards, std::vector<uint32_t>{1});
  leases.End(b.id);
  EXPECT_EQ(leases.Register(proto::ACTOR, "c", 1, kStart)->shards, std::vector<uint32_t>{1});
}

TEST(LeasesTest, EndsWithItsHeartbeats) {
  Leases leases = MakeLeases();
  const Lease lease = *leases.Register(proto::ACTOR, "a", 1, kStart);
  const Lease silent = *leases.Register(proto::ACTOR, "b", 1, kStart);
  ASSERT_TRUE(leases.Heartbeat(lease.id, {.rows = 7}, kStart + absl::Seconds(9)).ok());
  EXPECT_EQ(leases.Find(lease.id)->counters.rows, 7u);
  const std::vector<Lease> expired = leases.Expired(kStart + absl::Seconds(10));
  ASSERT_EQ(expired.size(), 1u);
  EXPECT_EQ(expired[0].id, silent.id);
  leases.End(silent.id);
  EXPECT_EQ(leases.Heartbeat(silent.id, {}, kStart + absl::Seconds(10)).code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(leases.Expired(kStart + absl::Seconds(18)).empty());
  EXPECT_EQ(leases.Expired(kStart + absl::Seconds(19)).size(), 1u);
  leases.End(lease.id);
  EXPECT_FALSE(leases.Any(proto::ACTOR));
}

TEST(LeasesTest, ProlongedLeasesEndLaterAndNoneEarlier) {
  Leases leases = MakeLeases();
  const Lease lease = *leases.Register(proto::ACTOR, "a", 1, kStart);
  leases.Prolong(kStart + absl::Seconds(60));
  leases.Prolong(kStart);
  EXPECT_TRUE(leases.Expired(kStart + absl::Seconds(59)).empty());
  ASSERT_TRUE(leases.Heartbeat(lease.id, {}, kStart + absl::Seconds(1)).ok());
  EXPECT_TRUE(leases.Expired(kStart + absl::Seconds(59)).empty());
  EXPECT_EQ(leases.Expired(kStart + absl::Seconds(60)).size(), 1u);
}

TEST(LeasesTest, ProcessesThatAllRegisterAgainKeepTheirIndices) {
  Leases leases = MakeLeases();
  std::vector<Lease> before;
  for (uint64_t process : {7, 8, 9}) {
    before.push_back(*leases.Register(proto::ACTOR, "a", 1, kStart, {.process_id = process}));
  }
  for (const Lease& lease : before) leases.End(lease.id);
  // They come back in another order, and to a learner that has restarted as well.
  Leases restarted = MakeLeases(2, 2);
  for (Leases* learner : {&leases, &restarted}) {
    for (const int i : {2, 0, 1}) {
      const Lease again =
          *learner->Register(proto::ACTOR, "a", 1, kStart,
                             {.process_id = before[i].process_id, .former_index = before[i].index});
      EXPECT_EQ(again.index, before[i].index);
      EXPECT_GT(again.incarnation, before[i].incarnation);
    }
  }
}

TEST(LeasesTest, AFormerIndexThatIsTakenOrOutOfRangeIsNotGivenAgain) {
  Leases leases(LeaseOptions{.max_leases = 3}, 1, 1);
  ASSERT_EQ(leases.Register(proto::ACTOR, "a", 1, kStart)->index, 0u);
  EXPECT_EQ(leases.Register(proto::ACTOR, "b", 1, kStart, {.former_index = 0})->index, 1u);
  EXPECT_EQ(leases.Register(proto::ACTOR, "c", 1, kStart, {.former_index = 3})->index, 2u);
}

// Those that had indices come after one that had none; whoever comes late gets a small one again.
TEST(LeasesTest, ALearnerThatStartsAgainLeavesIndicesToTheirFormerHolders) {
  const LeaseOptions options{.await_former = absl::Seconds(10), .max_leases = 100};
  Leases leases(options, 1, 2);
  const auto index = [&](proto::Role role, absl::Duration at, ProcessIdentity identity = {}) {
    return leases.Register(role, "a", 1, kStart + at, identity)->index;
  };
  EXPECT_EQ(index(proto::ACTOR, absl::ZeroDuration()), 99u);
  EXPECT_EQ(index(proto::ACTOR, absl::Seconds(1), {.former_index = 99}), 98u) << "it is taken";
  EXPECT_EQ(index(proto::ACTOR, absl::Seconds(1), {.former_index = 1}), 1u);
  EXPECT_EQ(index(proto::ACTOR, absl::Seconds(9), {.former_index = 0}), 0u);
  EXPECT_EQ(index(proto::ACTOR, absl::Seconds(10)), 2u);
  EXPECT_EQ(index(proto::EVALUATOR, absl::Seconds(1)), 0u) << "fences nobody";
  Leases first(options, 1, 1);
  EXPECT_EQ(first.Register(proto::ACTOR, "a", 1, kStart)->index, 0u) << "there were none before";
}

TEST(LeasesTest, AProcessIsFoundInItsRoleOnly) {
  Leases leases = MakeLeases();
  const Lease lease = *leases.Register(proto::ACTOR, "a", 1, kStart, {.process_id = 7});
  ASSERT_TRUE(leases.Register(proto::ACTOR, "b", 1, kStart).ok());
  ASSERT_NE(leases.FindProcess(proto::ACTOR, 7), nullptr);
  EXPECT_EQ(leases.FindProcess(proto::ACTOR, 7)->id, lease.id);
  EXPECT_EQ(leases.FindProcess(proto::EVALUATOR, 7), nullptr);
  EXPECT_EQ(leases.FindProcess(proto::ACTOR, 0), nullptr) << "0 is nobody";
}

TEST(LeasesTest, EndsAreRememberedUpToABound) {
  Leases leases = MakeLeases();
  for (size_t i = 0; i < Leases::kMaxEnded + 4; ++i) {
    const Lease lease = *leases.Register(proto::ACTOR, absl::StrCat("a", i), 1, kStart);
    leases.End(lease.id, {.end = proto::FAILED, .how = std::string(5000, 'x')});
  }
  ASSERT_EQ(leases.ended().size(), Leases::kMaxEnded);
  EXPECT_EQ(leases.ended().front().lease.name, "a4");
  EXPECT_LE(leases.ended().front().how.size(), 256u);
  EXPECT_EQ(leases.ends().at(proto::FAILED), Leases::kMaxEnded + 4);
}

TEST(LeasesTest, LeaseOfAnEarlierLearnerIsNotFound) {
  Leases first = MakeLeases(2, 1);
  Leases second = MakeLeases(2, 2);
  const Lease lease = *first.Register(proto::ACTOR, "a", 1, kStart);
  ASSERT_TRUE(second.Register(proto::ACTOR, "b", 1, kStart).ok());
  EXPECT_EQ(second.Heartbeat(lease.id, {}, kStart).code(), absl::StatusCode::kNotFound);
}

TEST(LeasesTest, ActorWithoutEnvironmentsIsRefused) {
  Leases leases = MakeLeases();
  EXPECT_EQ(leases.Register(proto::ACTOR, "a", 0, kStart).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(leases.Register(proto::ACTOR, "a", 1u << 20, kStart).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(LeasesTest, OneLeaseTooManyIsRefused) {
  Leases leases(LeaseOptions{.max_leases = 2}, 1, 1);
  ASSERT_TRUE(leases.Register(proto::ACTOR, "a", 1, kStart).ok());
  ASSERT_TRUE(leases.Register(proto::ACTOR, "b", 1, kStart).ok());
  EXPECT_EQ(leases.Register(proto::ACTOR, "c", 1, kStart).status().code(),
            absl::StatusCode::kResourceExhausted);
}

// Registrations and ends at random, against a search through all leases.
TEST(LeasesTest, IndicesProcessesAndShardsFollowFromTheLeasesThatAreOut) {
  constexpr uint32_t kSeed = 20261130;
  constexpr uint32_t kMost = 40;
  SCOPED_TRACE(absl::StrCat("seed ", kSeed));
  std::mt19937 random(kSeed);
  Leases leases(LeaseOptions{.max_leases = kMost}, 3, 1);
  for (int step = 0; step < 2000; ++step) {
    std::set<uint32_t> taken;
    std::vector<int> load(3, 0);
    for (const auto& [id, lease] : leases.all()) {
      taken.insert(lease.index);
      for (const uint32_t shard : lease.shards) ++load[shard];
    }
    if (!taken.empty() && (taken.size() == kMost || random() % 2 == 0)) {
      auto victim = leases.all().begin();
      std::advance(victim, random() % taken.size());
      const uint64_t process = victim->second.process_id;
      leases.End(victim->first);
      ASSERT_EQ(leases.FindProcess(proto::ACTOR, process), nullptr);
      continue;
    }
    const uint32_t wanted = random() % (kMost + 5);
    uint32_t expected = 0;
    while (taken.contains(expected)) ++expected;
    if (wanted < kMost && !taken.contains(wanted)) expected = wanted;
    const uint64_t process = static_cast<uint64_t>(step) + 1;
    const Lease lease = *leases.Register(proto::ACTOR, "a", 1, kStart,
                                         {.process_id = process, .former_index = wanted});
    ASSERT_EQ(lease.index, expected) << "step " << step;
    ASSERT_EQ(leases.FindProcess(proto::ACTOR, process)->id, lease.id);
    ASSERT_EQ(load[lease.shards[0]], *std::min_element(load.begin(), load.end()));
  }
}

TEST(LeasesTest, TextsOfOthersAreCutAndValid) {
  Leases leases = MakeLeases();
  const Lease lease = *leases.Register(proto::ACTOR, std::string(5000, 'x'), 1, kStart);
  EXPECT_EQ(lease.name.size(), 128u);
  ASSERT_TRUE(leases.Heartbeat(lease.id, {}, kStart, std::string(5000, '\xff')).ok());
  EXPECT_EQ(leases.Find(lease.id)->waiting, absl::StrCat(std::string(253, '?'), "..."));
}

TEST(LeasesDeathTest, TimeThatGoesBackIsABug) {
  Leases leases = MakeLeases();
  const Lease lease = *leases.Register(proto::ACTOR, "a", 1, kStart);
  EXPECT_DEATH(leases.Heartbeat(lease.id, {}, kStart - absl::Seconds(1)).IgnoreError(),
               "time went back");
}

}  // namespace
}  // namespace pompc::run
