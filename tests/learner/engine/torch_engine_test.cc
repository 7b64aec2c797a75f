#include "learner/engine/torch_engine.h"

#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "common/config/run_config.h"
#include "common/values/not_finite.h"
#include "common/values/number_check.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "learner/checkpoint.h"
#include "learner/engine/torch_state.h"
#include "tests/learner/engine/torch_engine_testing.h"
#include "tests/rundir/scratch_folder.h"

namespace pompc::learner {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

NamedValues StepOn(Engine& engine, uint64_t seed) { return StepOn(engine, {5, 3}, seed); }

TEST(TorchEngineTest, UpdatesReportFiniteValuesUnderTheirNames) {
  const auto engine = MakeEngine();
  const NamedValues values = StepOn(*engine, 1);
  const std::vector<std::string> names = engine->ValueNames();
  ASSERT_EQ(values.size(), names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(values[i].first, names[i]);
    EXPECT_TRUE(std::isfinite(values[i].second)) << names[i];
  }
  EXPECT_EQ(engine->update_count(), 1u);
}

TEST(TorchEngineTest, ABatchIsTheSameHoweverItIsShared) {
  const auto one = MakeEngine();
  const auto two = MakeEngine();
  std::vector<replay::WindowBatch> both = Shares({4, 4}, 7);
  // One share of 8 windows out of the two of 4.
  proto::SampleReply joined;
  proto::Windows* w = joined.mutable_windows();
  w->set_count(8);
  w->set_horizon(kHorizon);
  for (const replay::WindowBatch& share : both) {
    const auto add = [&](const char* name, std::string* column) {
      for (size_t c = 0; c < replay::kNumColumns; ++c) {
        if (replay::kColumns[c].name == name) *column += replay::BytesOf(share, c);
      }
    };
    add("observations", w->mutable_observations());
    add("actions", w->mutable_actions());
    add("rewards", w->mutable_rewards());
    add("terminated", w->mutable_terminated());
    add("plan_mean", w->mutable_plan_mean());
    add("plan_std", w->mutable_plan_std());
    add("has_plan", w->mutable_has_plan());
    add("addresses", w->mutable_addresses());
    add("versions", w->mutable_versions());
    add("draws", w->mutable_draws());
    add("probabilities", w->mutable_probabilities());
  }
  std::vector<replay::WindowBatch> whole;
  whole.push_back(*replay::BatchOf(joined, {kObservation, kAction}, 8, kHorizon));
  ASSERT_TRUE(one->Step(**one->MakeBatch(both, {}), false).ok());
  ASSERT_TRUE(two->Step(**two->MakeBatch(whole, {}), false).ok());
  EXPECT_EQ(Parameters(*one), Parameters(*two));
}

TEST(TorchEngineTest, PrioritiesNameTheFirstRowsOfTheWindowsTheyAreOf) {
  const auto engine = MakeEngine();
  std::vector<replay::WindowBatch> shares;
  shares.push_back(Windows(3, 1, /*shard=*/2));
  shares.push_back(Windows(2, 2, /*shard=*/0));
  const std::vector<float> weights = {1, 2, 3, 4, 5};
  for (int update = 0; update < 2; ++update) {
    ASSERT_TRUE(engine->Step(**engine->MakeBatch(shares, weights), false).ok());
  }
  // A batch without weights is of a table without priorities.
  ASSERT_TRUE(engine->Step(**engine->MakeBatch(shares, {}), false).ok());
  const std::vector<PriorityUpdate> updates = engine->TakePriorities();
  ASSERT_EQ(updates.size(), 4u);
  for (size_t i = 0; i < updates.size(); i += 2) {
    EXPECT_EQ(updates[i].shard, 2u);
    EXPECT_EQ(updates[i].opening.incarnation, 79u);
    EXPECT_EQ(updates[i].addresses, (std::vector<uint64_t>{2000, 2004, 2008}));
    EXPECT_EQ(updates[i].priorities.size(), 3u);
    EXPECT_EQ(updates[i + 1].shard, 0u);
    EXPECT_EQ(updates[i + 1].addresses, (std::vector<uint64_t>{0, 4}));
    for (const float priority : updates[i].priorities) EXPECT_GT(priority, 0);
  }
  EXPECT_TRUE(engine->TakePriorities().empty());
}

TEST(TorchEngineTest, PlansMadeAnewNameTheirRowsAndTrainTheNextUpdate) {
  proto::RunConfig config = Config();
  config.mutable_learner()->mutable_reanalyze()->set_every_updates(1);
  config.mutable_learner()->mutable_reanalyze()->set_batch(4);
  config.mutable_po_mpc()->set_prior(proto::PoMpcConfig::REPLAY);
  const auto engine = MakeEngine(config);
  std::vector<replay::WindowBatch> shares;
  shares.push_back(Windows(5, 1, /*shard=*/2));
  shares.push_back(Windows(3, 2, /*shard=*/0));
  const auto batch = engine->MakeBatch(shares, {});
  ASSERT_TRUE(batch.ok()) << batch.status();
  const auto updates = engine->Reanalyze(**batch);
  ASSERT_TRUE(updates.ok()) << updates.status();
  // Windows 0, 2, 4 and 6 of eight: the first three of the first share, one of the second.
  ASSERT_EQ(updates->size(), 2u);
  const PlanUpdate& first = (*updates)[0];
  EXPECT_EQ(first.shard, 2u);
  EXPECT_EQ(first.opening.incarnation, 79u);
  EXPECT_EQ(first.addresses,
            (std::vector<uint64_t>{2000, 2001, 2002, 2008, 2009, 2010, 2016, 2017, 2018}));
  EXPECT_EQ(first.plan_mean.size(), 9 * kAction);
  EXPECT_EQ(first.plan_std.size(), 9 * kAction);
  const PlanUpdate& second = (*updates)[1];
  EXPECT_EQ(second.shard, 0u);
  EXPECT_EQ(second.opening.incarnation, 77u);
  EXPECT_EQ(second.addresses, (std::vector<uint64_t>{4, 5, 6}));

  const auto other = MakeEngine(config);
  ASSERT_TRUE(engine->Step(**batch, false).ok());
  ASSERT_TRUE(other->Step(**other->MakeBatch(shares, {}), false).ok());
  EXPECT_NE(Parameters(*engine), Parameters(*other));
}

// The age of plans follows from the versions that were seen before.
TEST(TorchEngineTest, PlansOfOlderVersionsCountLess) {
  proto::RunConfig config = Config();
  config.mutable_po_mpc()->set_plan_half_life_versions(1);
  const auto share = [](uint64_t number) {
    proto::SampleReply reply = Reply(4, 1);
    std::string versions;
    for (int i = 0; i < 4; ++i) {
      const ParameterVersion version{1, number};
      versions.append(reinterpret_cast<const char*>(&version), sizeof(version));
    }
    reply.mutable_windows()->set_versions(versions);
    std::vector<replay::WindowBatch> shares;
    shares.push_back(*replay::BatchOf(reply, {kObservation, kAction}, 4, kHorizon));
    return shares;
  };
  const auto followed = [&](Engine& engine, uint64_t number) {
    const auto values = engine.Step(**engine.MakeBatch(share(number), {}), true);
    EXPECT_TRUE(values.ok()) << values.status();
    for (const auto& [name, value] : *values) {
      if (name == "distilled_share") return value;
    }
    ADD_FAILURE() << "no distilled_share";
    return 0.0;
  };
  const auto engine = MakeEngine(config);
  EXPECT_EQ(followed(*engine, 5), 1);
  EXPECT_EQ(followed(*engine, 4), 0.5);
  EXPECT_EQ(followed(*engine, 2), 0.125);
  EXPECT_EQ(followed(*engine, 6), 1);
  EXPECT_EQ(followed(*engine, 5), 0.5);
}

TEST(TorchEngineTest, ARestoredEngineGoesOnBitForBit) {
  ScratchFolder folder;
  const auto straight = MakeEngine();
  StepOn(*straight, 1);
  ASSERT_TRUE(straight->Export()->Write(folder.path()).ok());
  StepOn(*straight, 2);

  const auto resumed = MakeEngine();
  ASSERT_TRUE(resumed->Import(folder.path()).ok());
  EXPECT_EQ(resumed->update_count(), 1u);
  StepOn(*resumed, 2);
  EXPECT_EQ(Parameters(*straight), Parameters(*resumed));
}

TEST(TorchEngineTest, ARestoredEngineFollowsTheSeedOfItsConfig) {
  ScratchFolder folder;
  const auto before = MakeEngine();
  StepOn(*before, 1);
  ASSERT_TRUE(before->Export()->Write(folder.path()).ok());
  proto::RunConfig config = Config();
  config.set_seed(config.seed() + 1);
  const auto other = MakeEngine(config);
  ASSERT_TRUE(other->Import(folder.path()).ok());
  EXPECT_EQ(Parameters(*other), Parameters(*before));
  StepOn(*before, 2);
  StepOn(*other, 2);
  EXPECT_NE(Parameters(*other), Parameters(*before)) << "the random numbers of an update";
  ASSERT_TRUE(other->Export()->Write(folder.path()).ok());
  EXPECT_EQ(ReadTorchState(folder.path())->metadata["updater.seed"], std::to_string(config.seed()));
}

TEST(TorchEngineTest, ARewardThatIsNoNumberIsGotOver) {
  const auto engine = MakeEngine();
  StepOn(*engine, 1);
  ASSERT_TRUE(engine->Keep().ok());
  const std::string before = Parameters(*engine);
  proto::SampleReply reply = Reply(8, 2);
  const float bad = std::nanf("");
  std::memcpy(reply.mutable_windows()->mutable_rewards()->data(), &bad, sizeof(bad));
  std::vector<replay::WindowBatch> shares;
  shares.push_back(*replay::BatchOf(reply, {kObservation, kAction}, 8, kHorizon));
  const auto batch = engine->MakeBatch(shares, {});
  ASSERT_TRUE(batch.ok()) << batch.status();
  const absl::Status status = engine->Step(**batch, false).status();
  EXPECT_EQ(NotFiniteName(status), "model") << status;
  EXPECT_THAT(engine->LossNames(), Contains("model"));
  engine->GoBack();
  EXPECT_EQ(Parameters(*engine), before);
  EXPECT_EQ(engine->update_count(), 1u);
  StepOn(*engine, 3);
  EXPECT_TRUE(engine->Keep().ok());
  EXPECT_EQ(engine->update_count(), 2u);
}

// What a batch of eight windows spoils, with the columns of some of them overwritten.
std::vector<uint32_t> UnusableWith(Engine& engine, void (*spoil)(proto::Windows*)) {
  proto::SampleReply reply = Reply(8, 2);
  spoil(reply.mutable_windows());
  std::vector<replay::WindowBatch> shares;
  shares.push_back(*replay::BatchOf(reply, {kObservation, kAction}, 8, kHorizon));
  const auto batch = engine.MakeBatch(shares, {});
  EXPECT_TRUE(batch.ok()) << batch.status();
  const auto found = engine.FindUnusable(**batch);
  EXPECT_TRUE(found.ok()) << found.status();
  return *found;
}

void Put(float value, size_t position, std::string* column) {
  std::memcpy(column->data() + position * sizeof(value), &value, sizeof(value));
}

TEST(TorchEngineTest, WindowsThatNoUpdateCanBeMadeWithAreFoundAndNothingChanges) {
  const auto engine = MakeEngine();
  const auto twin = MakeEngine();
  StepOn(*engine, 1);
  StepOn(*twin, 1);
  EXPECT_EQ(UnusableWith(*engine, [](proto::Windows*) {}), std::vector<uint32_t>());
  EXPECT_EQ(UnusableWith(*engine,
                         [](proto::Windows* w) {
                           Put(std::nanf(""), 2 * kHorizon + 1, w->mutable_rewards());
                           Put(std::nanf(""), 5 * kHorizon, w->mutable_rewards());
                         }),
            (std::vector<uint32_t>{2, 5}));
  EXPECT_EQ(UnusableWith(*engine,
                         [](proto::Windows* w) {
                           const size_t last = 8 * (kHorizon + 1) * kObservation - 1;
                           Put(std::nanf(""), last, w->mutable_observations());
                         }),
            (std::vector<uint32_t>{7}));
  // Too much for its square.
  EXPECT_EQ(UnusableWith(*engine,
                         [](proto::Windows* w) {
                           Put(1e30f, 3 * (kHorizon + 1) * kAction, w->mutable_plan_mean());
                         }),
            (std::vector<uint32_t>{3}));
  StepOn(*engine, 3);
  StepOn(*twin, 3);
  EXPECT_EQ(Parameters(*engine), Parameters(*twin));
}

// The largest numbers that replay takes train.
TEST(TorchEngineTest, AWindowOfTheLargestNumbersIsUsable) {
  const auto engine = MakeEngine();
  StepOn(*engine, 1);
  EXPECT_EQ(UnusableWith(*engine,
                         [](proto::Windows* w) {
                           for (size_t i = 0; i < (kHorizon + 1) * kObservation; ++i) {
                             Put(i % 2 == 0 ? kMaxMagnitude : -kMaxMagnitude, i,
                                 w->mutable_observations());
                           }
                           Put(kMaxMagnitude, 1, w->mutable_rewards());
                           Put(-kMaxMagnitude, 2, w->mutable_rewards());
                         }),
            std::vector<uint32_t>());
}

// Whatever the planner says of its decisions, shards and actors take it.
TEST(TorchEngineTest, PlansOfEveryStatisticLieInTheRangeOfTheRun) {
  for (const auto statistic :
       {proto::PlannerConfig::MEAN, proto::PlannerConfig::ELITE, proto::PlannerConfig::BEST}) {
    for (const uint32_t elites : {1u, 64u}) {
      proto::RunConfig config = Config();
      config.mutable_planner()->set_statistic(statistic);
      config.mutable_planner()->set_elites(elites);
      config.mutable_planner()->set_samples(128);
      config.mutable_planner()->set_iterations(elites == 1 ? 2 : 1);
      config.mutable_planner()->set_temperature(elites == 1 ? 0.5 : 0);
      config.mutable_planner()->set_max_std(elites == 1 ? 2 : 10);
      config.mutable_learner()->mutable_reanalyze()->set_every_updates(1);
      const auto engine = MakeEngine(config);
      const auto batch = engine->MakeBatch(Shares({8}, 3), {});
      ASSERT_TRUE(batch.ok()) << batch.status();
      const auto updates = engine->Reanalyze(**batch);
      ASSERT_TRUE(updates.ok()) << updates.status();
      for (const PlanUpdate& update : *updates) {
        EXPECT_TRUE(CheckActions("plan_mean", update.plan_mean).ok());
        const absl::Status stds =
            CheckStds("plan_std", config::PlanStdRange(config), update.plan_std);
        EXPECT_TRUE(stds.ok()) << proto::PlannerConfig::Statistic_Name(statistic) << ": " << stds;
      }
    }
  }
}

TEST(TorchEngineTest, AnExportIsACopy) {
  ScratchFolder folder;
  const auto engine = MakeEngine();
  StepOn(*engine, 1);
  const std::string before = Parameters(*engine);
  const auto state = engine->Export();
  StepOn(*engine, 2);
  ASSERT_NE(Parameters(*engine), before);
  ASSERT_TRUE(state->Write(folder.path()).ok());
  ASSERT_TRUE(engine->Import(folder.path()).ok());
  EXPECT_EQ(Parameters(*engine), before);
}

TEST(TorchEngineTest, WhatCannotBeReadIsDataLossAndChangesNothing) {
  ScratchFolder folder;
  const auto engine = MakeEngine();
  StepOn(*engine, 1);
  const std::string before = Parameters(*engine);
  EXPECT_EQ(engine->Import(folder.path()).code(), absl::StatusCode::kDataLoss);
  folder.Write("updater.safetensors", "nonsense");
  EXPECT_EQ(engine->Import(folder.path()).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Parameters(*engine), before);
}

TEST(TorchEngineTest, AnotherModelsStateIsRefused) {
  ScratchFolder folder;
  proto::RunConfig other = Config();
  other.mutable_model()->set_mlp_dim(24);
  ASSERT_TRUE(MakeEngine(other)->Export()->Write(folder.path()).ok());
  EXPECT_EQ(MakeEngine()->Import(folder.path()).code(), absl::StatusCode::kInvalidArgument);
}

TEST(TorchEngineTest, DescriptionNamesTensorsAndWhatPlanningNeeds) {
  const auto engine = MakeEngine();
  proto::ParametersDescription description;
  const auto data = engine->PackParameters(&description);
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_GT(description.tensors_size(), 10);
  uint64_t end = 0;
  for (const proto::TensorDescription& tensor : description.tensors()) {
    EXPECT_EQ(tensor.offset(), end);
    end += tensor.bytes();
  }
  EXPECT_EQ(end, (*data)->size());
  EXPECT_EQ(description.config().model().mlp_dim(), 32u);
  // 500 decisions: TD-MPC2's rule.
  EXPECT_DOUBLE_EQ(description.config().learner().discount(), 0.99);
}

TEST(TorchEngineTest, Bfloat16ParametersTakeHalfTheBytesAndChangeTheLearnerInNothing) {
  proto::RunConfig config = Config();
  config.mutable_learner()->set_publish_dtype(proto::LearnerConfig::BFLOAT16);
  const auto engine = MakeEngine(config);
  const auto other = MakeEngine();
  StepOn(*engine, 1);
  StepOn(*other, 1);
  proto::ParametersDescription description;
  const auto data = engine->PackParameters(&description);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(2 * (*data)->size(), Parameters(*other).size());
  for (const proto::TensorDescription& tensor : description.tensors()) {
    EXPECT_EQ(tensor.dtype(), "BF16") << tensor.name();
  }
  ScratchFolder folder, other_folder;
  StepOn(*engine, 2);
  StepOn(*other, 2);
  ASSERT_TRUE(engine->Export()->Write(folder.path()).ok());
  ASSERT_TRUE(other->Import(folder.path()).ok());
  const std::string restored = Parameters(*other);
  const auto straight = MakeEngine();
  StepOn(*straight, 1);
  StepOn(*straight, 2);
  EXPECT_EQ(restored, Parameters(*straight));
}

TEST(TorchEngineTest, BadOptionsAreNamed) {
  EXPECT_THAT(std::string(MakeTorchEngine(Config(), {.device = "tpu"}).status().message()),
              HasSubstr("tpu"));
  EXPECT_THAT(std::string(MakeTorchEngine(Config(), {.threads = 0}).status().message()),
              HasSubstr("threads: 0"));
  proto::RunConfig config = Config();
  config.mutable_env()->clear_spec();
  EXPECT_THAT(std::string(MakeTorchEngine(config, {}).status().message()), HasSubstr("env.spec"));
}

}  // namespace
}  // namespace pompc::learner
