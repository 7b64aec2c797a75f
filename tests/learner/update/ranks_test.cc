// Updates made by several ranks against the same ones made by one; the ranks are threads here.
#include "learner/update/ranks.h"

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/rendezvous.h"
#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/learner/update/testing.h"

namespace pompc::update {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kBatch = 8;

proto::RunConfig Config() {
  proto::RunConfig config = model::SmallConfig();
  config.mutable_env()->mutable_spec()->set_observation_size(4);
  proto::ModelConfig* model = config.mutable_model();
  model->set_encoder_dim(24);
  model->set_mlp_dim(24);
  model->set_num_q(2);
  model->set_num_bins(101);
  model->set_bin_min(-10);
  model->set_bin_max(10);
  model->set_dropout(0.2);
  return config;
}

Batch Rows(const Batch& whole, int64_t begin, int64_t count) {
  Batch part;
  for (const auto field :
       {&Batch::observations, &Batch::actions, &Batch::rewards, &Batch::terminated,
        &Batch::plan_mean, &Batch::plan_std, &Batch::has_plan}) {
    part.*field = (whole.*field).narrow(0, begin, count);
  }
  if (whole.importance.defined()) part.importance = whole.importance.narrow(0, begin, count);
  return part;
}

void ExpectNear(const UpdateMetrics& got, const UpdateMetrics& want, double tolerance) {
  for (size_t i = 0; i < want.Named().size(); ++i) {
    const auto [name, value] = want.Named()[i];
    EXPECT_NEAR(got.Named()[i].second, value, 10 * tolerance * (1 + std::abs(value))) << name;
  }
}

// Runs `body` as every rank of a group, each on a thread of its own.
void AsRanks(int size, const std::function<void(std::shared_ptr<Ranks>)>& body,
             absl::Duration timeout = absl::Seconds(20)) {
  const auto rendezvous = std::make_shared<MemoryRendezvous>();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      auto ranks = ConnectGloo({.rank = rank, .size = size, .timeout = timeout}, rendezvous);
      ASSERT_TRUE(ranks.ok()) << ranks.status();
      body(*std::move(ranks));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class RanksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasGloo()) GTEST_SKIP() << "built without Gloo";
  }

  // Three updates: by one, and by `size` ranks that each hold a part of the same batches.
  void ExpectSameAsOne(
      const proto::RunConfig& config, int size,
      const std::function<void(Batch&)>& change = [](Batch&) {}, at::ScalarType dtype = at::kDouble,
      double tolerance = 1e-10) {
    std::vector<Batch> batches;
    for (uint64_t i = 0; i < 3; ++i) {
      batches.push_back(MakeBatch(config, 10 + i, kBatch));
      change(batches.back());
    }
    const auto one = MakeUpdater(config, 1, dtype);
    std::vector<UpdateMetrics> wanted;
    for (const Batch& batch : batches) {
      const auto metrics = one->Step(batch, true);
      ASSERT_TRUE(metrics.ok()) << metrics.status();
      wanted.push_back(*metrics);
    }
    const UpdaterState expected = one->Export();

    std::vector<UpdaterState> states(size);
    AsRanks(size, [&](std::shared_ptr<Ranks> ranks) {
      const int rank = ranks->rank();
      // Other parameters: they must become those of rank 0.
      const auto updater = MakeUpdater(config, 1 + rank, dtype);
      updater->Join(ranks);
      ASSERT_TRUE(updater->Synchronize().ok());
      const int64_t share = kBatch / size;
      for (size_t i = 0; i < batches.size(); ++i) {
        const auto metrics = updater->Step(Rows(batches[i], rank * share, share), true);
        ASSERT_TRUE(metrics.ok()) << metrics.status();
        ExpectNear(*metrics, wanted[i], tolerance);
      }
      states[rank] = updater->Export();
    });
    for (int rank = 0; rank < size; ++rank) {
      ASSERT_EQ(states[rank].metadata, expected.metadata);
      ASSERT_EQ(states[rank].tensors.size(), expected.tensors.size());
      for (size_t i = 0; i < expected.tensors.size(); ++i) {
        const at::Tensor& want = expected.tensors[i].tensor;
        const at::Tensor& got = states[rank].tensors[i].tensor;
        EXPECT_TRUE(at::equal(got, states[0].tensors[i].tensor)) << expected.tensors[i].name;
        EXPECT_TRUE(at::allclose(got, want, tolerance, tolerance))
            << "rank " << rank << " " << expected.tensors[i].name << ": "
            << (got - want).abs().max().item<double>();
      }
    }
  }
};

TEST_F(RanksTest, TwoRanksMakeTheUpdateOfOne) { ExpectSameAsOne(Config(), 2); }

TEST_F(RanksTest, FourRanksMakeTheUpdateOfOne) { ExpectSameAsOne(Config(), 4); }

TEST_F(RanksTest, TwoRanksMakeTheUpdateOfOneInFloat32) {
  ExpectSameAsOne(
      Config(), 2, [](Batch&) {}, at::kFloat, 2e-5);
}

TEST_F(RanksTest, OtherMembersOfTheFamilyAgreeAsWell) {
  proto::RunConfig config = Config();
  config.mutable_po_mpc()->set_alpha(0);
  config.mutable_po_mpc()->set_policy_at_window_end(true);
  ExpectSameAsOne(config, 2);
  config = Config();
  config.mutable_po_mpc()->set_prior(proto::PoMpcConfig::REPLAY);
  config.mutable_po_mpc()->set_target_horizon(proto::PoMpcConfig::WINDOW_END);
  config.mutable_po_mpc()->set_kl_threshold(0.5);
  ExpectSameAsOne(config, 2);
  config = Config();
  config.mutable_po_mpc()->set_alpha(1);
  ExpectSameAsOne(config, 2);
  config = Config();
  config.mutable_model()->set_policy_form(proto::ModelConfig::TANH_GAUSSIAN);
  config.mutable_env()->mutable_spec()->set_terminates(true);
  config.mutable_po_mpc()->set_prior_kl(proto::PoMpcConfig::REVERSE);
  config.mutable_learner()->set_max_grad_norm(0.01);
  ExpectSameAsOne(config, 2);
}

TEST_F(RanksTest, PlansMayLieUnevenlyOrOnOneRankAlone) {
  ExpectSameAsOne(Config(), 2, [](Batch& batch) {
    batch.has_plan[0][1] = 0;
    batch.has_plan[5] = 0;
    batch.has_plan[7] = 0;
  });
  for (const proto::PoMpcConfig::Prior prior :
       {proto::PoMpcConfig::LEARNED, proto::PoMpcConfig::REPLAY}) {
    proto::RunConfig config = Config();
    config.mutable_po_mpc()->set_prior(prior);
    ExpectSameAsOne(config, 2,
                    [](Batch& batch) { batch.has_plan.narrow(0, 0, kBatch / 2).zero_(); });
    ExpectSameAsOne(config, 2, [](Batch& batch) { batch.has_plan.zero_(); });
  }
}

// The largest weight is on one rank, and plans are missing where weights are large.
TEST_F(RanksTest, ImportanceWeightsAreThoseOfTheWholeBatch) {
  const auto weigh = [](Batch& batch) {
    batch.importance = at::arange(1, kBatch + 1, at::kFloat).square();
    batch.has_plan[6] = 0;
    batch.has_plan[1][1] = 0;
  };
  ExpectSameAsOne(Config(), 2, weigh);
  ExpectSameAsOne(Config(), 4, weigh);
  proto::RunConfig config = Config();
  config.mutable_env()->mutable_spec()->set_terminates(true);
  config.mutable_po_mpc()->set_policy_at_window_end(true);
  ExpectSameAsOne(config, 2, weigh);
}

TEST_F(RanksTest, ALossThatIsNotFiniteOnOneRankStopsAll) {
  AsRanks(2, [&](std::shared_ptr<Ranks> ranks) {
    const auto updater = MakeUpdater(Config());
    updater->Join(ranks);
    Batch batch = MakeBatch(Config(), 1, kBatch / 2);
    if (ranks->rank() == 1) batch.rewards[0][0] = std::numeric_limits<float>::quiet_NaN();
    const absl::Status status = updater->Step(batch, false).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("the gradient of the model loss"));
    EXPECT_EQ(updater->update_count(), 0);
  });
}

TEST_F(RanksTest, ChecksumsAgreeWhileParametersDo) {
  const auto one = MakeUpdater(Config());
  const auto two = MakeUpdater(Config());
  EXPECT_EQ(one->Checksum(), two->Checksum());
  ASSERT_TRUE(one->Step(MakeBatch(Config(), 1), false).ok());
  EXPECT_NE(one->Checksum(), two->Checksum());
  ASSERT_TRUE(two->Step(MakeBatch(Config(), 1), false).ok());
  EXPECT_EQ(one->Checksum(), two->Checksum());
}

TEST_F(RanksTest, RanksThatAreNotInStepAreNamed) {
  AsRanks(2, [&](std::shared_ptr<Ranks> ranks) {
    const auto updater = MakeUpdater(Config());
    if (ranks->rank() == 1) {
      ASSERT_TRUE(updater->Step(MakeBatch(Config(), 1), false).ok());
    }
    updater->Join(ranks);
    const absl::Status apart = updater->Step(MakeBatch(Config(), 1), false).status();
    EXPECT_THAT(std::string(apart.message()), HasSubstr("has made"));
    ASSERT_TRUE(updater->Synchronize().ok());
    EXPECT_EQ(updater->update_count(), 0);
    const absl::Status sizes =
        updater->Step(MakeBatch(Config(), 1, 3 + ranks->rank()), false).status();
    EXPECT_EQ(sizes.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(sizes.message()), HasSubstr("windows"));
  });
}

TEST_F(RanksTest, StatesOfOtherModelsAreRefused) {
  AsRanks(2, [&](std::shared_ptr<Ranks> ranks) {
    proto::RunConfig config = Config();
    if (ranks->rank() == 1) config.mutable_model()->set_mlp_dim(32);
    const auto updater = MakeUpdater(config);
    updater->Join(ranks);
    EXPECT_EQ(updater->Synchronize().code(), absl::StatusCode::kInvalidArgument);
  });
}

TEST_F(RanksTest, ARankThatLeavesIsUnavailableToTheOthers) {
  Event connected;
  AsRanks(2, [&](std::shared_ptr<Ranks> ranks) {
    if (ranks->rank() == 1) return connected.Wait();
    connected.Set();
    const absl::Status status = ranks->Sum(at::ones({3}));
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("rank 0 of 2, sum: another rank is gone"));
    EXPECT_EQ(ranks->Gather(at::ones({3})).status().code(), absl::StatusCode::kUnavailable);
  });
}

TEST_F(RanksTest, ARankThatDoesNotComeIsUnavailableWithinTheTimeout) {
  const auto ranks = ConnectGloo({.rank = 0, .size = 2, .timeout = absl::Milliseconds(50)},
                                 std::make_shared<MemoryRendezvous>());
  EXPECT_EQ(ranks.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(ranks.status().message()), HasSubstr("rank 0 of 2 cannot connect"));
}

TEST_F(RanksTest, ARankThatHangsIsUnavailableWithinTheTimeout) {
  Event done;
  AsRanks(
      2,
      [&](std::shared_ptr<Ranks> ranks) {
        if (ranks->rank() == 1) return done.Wait();
        EXPECT_EQ(ranks->Sum(at::ones({3})).code(), absl::StatusCode::kUnavailable);
        done.Set();
      },
      absl::Milliseconds(500));
}

TEST_F(RanksTest, RankOutOfRangeIsNamed) {
  const absl::Status status = ConnectGloo({.rank = 2, .size = 2}, nullptr).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("rank 2 of 2: must be 0 to 1"));
}

}  // namespace
}  // namespace pompc::update
