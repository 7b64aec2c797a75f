// Engines of two ranks, as threads, against one engine that makes the same updates.
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/rendezvous.h"
#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "learner/update/ranks.h"
#include "tests/learner/engine/torch_engine_testing.h"
#include "tests/rundir/scratch_folder.h"

namespace pompc::learner {
namespace {

using ::testing::HasSubstr;

constexpr int kRanks = 2;

class EngineRanksTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!update::HasGloo()) GTEST_SKIP() << "built without Gloo";
  }

  // Runs `body` on a connected engine of each rank, of which those above 0 begin elsewhere.
  static void AsRanks(const proto::RunConfig& config,
                      const std::function<void(int, Engine&)>& body) {
    const auto rendezvous = std::make_shared<MemoryRendezvous>();
    std::vector<Thread> threads;
    for (int rank = 0; rank < kRanks; ++rank) {
      threads.emplace_back("rank", [&, rank] {
        const auto engine =
            MakeTorchEngine(config, {.rank = rank, .world_size = kRanks, .timeout = kTimeout});
        ASSERT_TRUE(engine.ok()) << engine.status();
        if (rank > 0) StepOn(**engine, {4}, 99);
        const absl::Status connected = (*engine)->Connect(rendezvous);
        ASSERT_TRUE(connected.ok()) << connected;
        body(rank, **engine);
      });
    }
    for (Thread& thread : threads) thread.Join();
  }

  static constexpr absl::Duration kTimeout = absl::Seconds(20);
};

TEST_F(EngineRanksTest, TwoEnginesMakeTheUpdatesOfOne) {
  const auto one = MakeEngine();
  std::vector<NamedValues> expected;
  for (uint64_t seed = 1; seed <= 3; ++seed) expected.push_back(StepOn(*one, {4, 4}, seed));
  std::vector<std::string> parameters(kRanks);
  AsRanks(Config(), [&](int rank, Engine& engine) {
    EXPECT_EQ(engine.update_count(), 0u);
    ASSERT_TRUE(engine.Keep().ok());
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      // Share `rank` of the whole batch of two.
      const NamedValues values = StepOn(engine, {4}, seed + rank);
      for (size_t i = 0; i < values.size(); ++i) {
        const double want = expected[seed - 1][i].second;
        EXPECT_NEAR(values[i].second, want, 1e-3 * (1 + std::abs(want))) << values[i].first;
      }
    }
    ASSERT_TRUE(engine.Keep().ok());
    parameters[rank] = Parameters(engine);
    EXPECT_EQ(*engine.Exchange(10 + rank), (std::vector<int64_t>{10, 11}));
  });
  EXPECT_EQ(parameters[0], parameters[1]);
}

TEST_F(EngineRanksTest, RanksThatDriftApartAreNoticed) {
  ScratchFolder folder;
  const auto other = MakeEngine();
  StepOn(*other, {4}, 1);
  ASSERT_TRUE(other->Export()->Write(folder.path()).ok());
  AsRanks(Config(), [&](int rank, Engine& engine) {
    ASSERT_TRUE(engine.Keep().ok());
    if (rank == 1) {
      ASSERT_TRUE(engine.Import(folder.path()).ok());
    }
    const absl::Status status = engine.Keep();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("rank 1 has other parameters than rank 0"));
  });
}

TEST_F(EngineRanksTest, EachRankPlansItsPartOfTheStatesAnew) {
  proto::RunConfig config = Config();
  config.mutable_learner()->mutable_reanalyze()->set_every_updates(1);
  config.mutable_learner()->mutable_reanalyze()->set_batch(5);
  std::vector<size_t> planned(kRanks);
  std::vector<std::vector<float>> plans(kRanks);
  AsRanks(config, [&](int rank, Engine& engine) {
    const auto batch = engine.MakeBatch(Shares({4}, 7), {});
    ASSERT_TRUE(batch.ok()) << batch.status();
    const auto updates = engine.Reanalyze(**batch);
    ASSERT_TRUE(updates.ok()) << updates.status();
    ASSERT_EQ(updates->size(), 1u);
    planned[rank] = (*updates)[0].addresses.size() / kHorizon;
    plans[rank] = (*updates)[0].plan_mean;
  });
  ASSERT_EQ(planned, (std::vector<size_t>{2, 3}));
  // These are plans of the same states from other random numbers.
  EXPECT_NE(plans[0][0], plans[1][0]);
}

TEST_F(EngineRanksTest, WithoutTheOthersItIsUnavailable) {
  const auto engine = MakeTorchEngine(
      Config(), {.rank = 0, .world_size = kRanks, .timeout = absl::Milliseconds(50)});
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_EQ((*engine)->Connect(std::make_shared<MemoryRendezvous>()).code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace pompc::learner
