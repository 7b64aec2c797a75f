#include "learner/update/updater.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/values/not_finite.h"
#include "learner/update/learnables.h"
#include "model/planning/plan.h"
#include "tests/learner/update/testing.h"

namespace pompc::update {
namespace {

using ::testing::HasSubstr;

// Settings that learn within few updates, of widths that kernels want: the tests run what training
// runs.
proto::RunConfig FastConfig() {
  proto::RunConfig config = model::SmallConfig();
  config.mutable_learner()->set_learning_rate(3e-3);
  config.mutable_learner()->set_tau(0.02);
  config.mutable_learner()->set_discount(0.9);
  config.mutable_po_mpc()->set_target_horizon(proto::PoMpcConfig::WINDOW_END);
  return config;
}

void ExpectSameState(const UpdaterState& a, const UpdaterState& b) {
  EXPECT_EQ(a.metadata, b.metadata);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(a.tensors[i].name, b.tensors[i].name);
    EXPECT_TRUE(at::equal(a.tensors[i].tensor, b.tensors[i].tensor)) << a.tensors[i].name;
  }
}

UpdateMetrics MustStep(Updater& updater, const Batch& batch, bool want_metrics = true) {
  const absl::StatusOr<UpdateMetrics> metrics = updater.Step(batch, want_metrics);
  EXPECT_TRUE(metrics.ok()) << metrics.status();
  return metrics.value_or(UpdateMetrics());
}

class FamilyTest : public ::testing::TestWithParam<double> {};

TEST_P(FamilyTest, EveryLossFallsOnAFixedBatch) {
  proto::RunConfig config = FastConfig();
  config.mutable_env()->mutable_spec()->set_terminates(true);
  config.mutable_po_mpc()->set_alpha(GetParam());
  if (GetParam() == 1) config.mutable_po_mpc()->set_kl_reduction(proto::PoMpcConfig::MEAN);
  const auto updater = MakeUpdater(config);
  Batch batch = MakeBatch(config, 5, 32);
  batch.terminated[3][1] = 1;
  const UpdateMetrics first = MustStep(*updater, batch);
  for (int i = 0; i < 250; ++i) MustStep(*updater, batch, false);
  const UpdateMetrics last = MustStep(*updater, batch);
  EXPECT_LT(last.reward_loss, 0.8 * first.reward_loss);
  EXPECT_LT(last.termination_loss, 0.5 * first.termination_loss);
  EXPECT_LT(last.value_loss, 0.9 * first.value_loss);
  EXPECT_LT(last.total_loss, 0.8 * first.total_loss);
  if (config.po_mpc().alpha() < 1) {
    EXPECT_LT(last.regularized_value_loss, 0.9 * first.regularized_value_loss);
  }
  if (config.po_mpc().alpha() > 0) {
    EXPECT_LT(last.prior_loss, 0.9 * first.prior_loss);
    EXPECT_LT(last.prior_planner_kl, first.prior_planner_kl);
  }
  EXPECT_EQ(updater->update_count(), 252);
  if (config.po_mpc().alpha() == 1) {
    // The policy follows a prior that moves with every update, at some of them by more.
    std::vector<double> distances;
    for (int i = 0; i < 11; ++i) distances.push_back(MustStep(*updater, batch).policy_prior_kl);
    std::sort(distances.begin(), distances.end());
    EXPECT_LT(distances[5], 0.1);
  }
}

TEST_P(FamilyTest, ResumesBitForBit) {
  proto::RunConfig config = FastConfig();
  config.mutable_po_mpc()->set_alpha(GetParam());
  const auto original = MakeUpdater(config, 1);
  for (uint64_t i = 0; i < 5; ++i) MustStep(*original, MakeBatch(FastConfig(), i));

  const std::string path =
      ::testing::TempDir() + "updater_test_" + std::to_string(::getpid()) + ".safetensors";
  const UpdaterState state = original->Export();
  ASSERT_TRUE(model::WriteTensorFile(path, state.tensors, state.metadata).ok());
  const auto file = model::ReadTensorFile(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(file.ok()) << file.status();

  const auto resumed = MakeUpdater(config, 2);
  ASSERT_TRUE(resumed->Import({file->tensors, file->metadata}).ok());
  EXPECT_EQ(resumed->update_count(), 5);
  for (uint64_t i = 5; i < 10; ++i) {
    MustStep(*original, MakeBatch(FastConfig(), i));
    MustStep(*resumed, MakeBatch(FastConfig(), i));
  }
  ExpectSameState(original->Export(), resumed->Export());
}

INSTANTIATE_TEST_SUITE_P(Alpha, FamilyTest, ::testing::Values(0.0, 0.5, 1.0));

TEST(UpdaterTest, SameSeedSameUpdatesAndMetricsDoNotMatter) {
  const auto a = MakeUpdater(FastConfig(), 7);
  const auto b = MakeUpdater(FastConfig(), 7);
  const auto other = MakeUpdater(FastConfig(), 8);
  for (uint64_t i = 0; i < 4; ++i) {
    MustStep(*a, MakeBatch(FastConfig(), i), true);
    MustStep(*b, MakeBatch(FastConfig(), i), false);
    MustStep(*other, MakeBatch(FastConfig(), i), false);
  }
  ExpectSameState(a->Export(), b->Export());
  EXPECT_FALSE(at::equal(a->model().flat(), other->model().flat()));
}

// Same policy form, weights and draws: without a penalty the two ensembles are one.
TEST(UpdaterTest, RegularizedValuesEqualPlainOnesForLambdaZero) {
  for (const proto::PoMpcConfig::TargetHorizon horizon :
       {proto::PoMpcConfig::ONE_STEP, proto::PoMpcConfig::WINDOW_END}) {
    proto::RunConfig config = FastConfig();
    config.mutable_po_mpc()->set_alpha(0);
    config.mutable_po_mpc()->set_target_horizon(horizon);
    const auto updater = MakeUpdater(config);
    UpdateMetrics metrics;
    for (uint64_t i = 0; i < 20; ++i) metrics = MustStep(*updater, MakeBatch(FastConfig(), i));
    EXPECT_EQ(metrics.value_loss, metrics.regularized_value_loss);
    EXPECT_EQ(metrics.value_target, metrics.regularized_value_target);
    EXPECT_GT(std::abs(metrics.value_target), 0.01);
    for (const char* layer : {"0.weight", "1.norm.weight", "2.weight", "2.bias"}) {
      const std::string name = layer;
      EXPECT_TRUE(
          at::equal(Exported(*updater, "q." + name), Exported(*updater, "regularized_q." + name)))
          << name;
      EXPECT_TRUE(at::equal(Exported(*updater, "q_target." + name),
                            Exported(*updater, "regularized_q_target." + name)));
    }
  }
}

// Same policy form, states, weights and draws: lambda = 0 makes the updates of the tdmpc2 preset.
TEST(UpdaterTest, LambdaZeroMakesTdMpc2sUpdates) {
  for (const proto::ModelConfig::PolicyForm form :
       {proto::ModelConfig::CLIPPED_GAUSSIAN, proto::ModelConfig::TANH_GAUSSIAN}) {
    proto::RunConfig config = FastConfig();
    config.mutable_model()->set_policy_form(form);
    config.mutable_po_mpc()->set_alpha(0);
    config.mutable_po_mpc()->set_target_horizon(proto::PoMpcConfig::ONE_STEP);
    config.mutable_po_mpc()->set_policy_at_window_end(true);
    const auto regularized = MakeUpdater(config);
    config.mutable_po_mpc()->set_policy_values(proto::PoMpcConfig::PLAIN);
    const auto tdmpc2 = MakeUpdater(config);
    const at::Tensor policy = tdmpc2->model().policy().flat().clone();
    for (uint64_t i = 0; i < 20; ++i) {
      MustStep(*tdmpc2, MakeBatch(config, i));
      MustStep(*regularized, MakeBatch(config, i));
    }
    EXPECT_TRUE(at::equal(regularized->model().flat(), tdmpc2->model().flat()));
    EXPECT_FALSE(at::equal(policy, tdmpc2->model().policy().flat()));
    for (const model::NamedTensor& named : tdmpc2->Export().tensors) {
      EXPECT_EQ(named.name.find("regularized"), std::string::npos);
      EXPECT_TRUE(at::equal(named.tensor, Exported(*regularized, named.name))) << named.name;
    }
    EXPECT_TRUE(at::equal(Exported(*regularized, "regularized_q.2.weight"),
                          Exported(*tdmpc2, "q.2.weight")));
  }
}

TEST(UpdaterTest, StoredPlansNeedNoPriorNetwork) {
  proto::RunConfig config = FastConfig();
  config.mutable_po_mpc()->set_prior(proto::PoMpcConfig::REPLAY);
  const auto updater = MakeUpdater(config);
  UpdateMetrics metrics;
  for (uint64_t i = 0; i < 100; ++i) metrics = MustStep(*updater, MakeBatch(FastConfig(), 3));
  for (const model::NamedTensor& named : updater->Export().tensors)
    EXPECT_EQ(named.name.find("prior"), std::string::npos) << named.name;
  EXPECT_EQ(metrics.prior_loss, 0);
  EXPECT_GT(metrics.policy_prior_kl, 0);
  EXPECT_LT(metrics.regularized_value_target, metrics.value_target - 0.05);
}

// The state after step t is row t + 1: the policy's loss looks at rows 0..H-1, targets at 1..H.
TEST(UpdaterTest, StoredPlansCountWhereTheyWereMade) {
  proto::RunConfig config = FastConfig();
  config.mutable_po_mpc()->set_prior(proto::PoMpcConfig::REPLAY);
  const auto target = [&](int64_t planned_row) {
    const auto updater = MakeUpdater(config);
    Batch batch = MakeBatch(FastConfig(), 3);
    batch.has_plan.zero_();
    if (planned_row >= 0) batch.has_plan.select(1, planned_row).fill_(1);
    return MustStep(*updater, batch);
  };
  const UpdateMetrics none = target(-1);
  EXPECT_EQ(none.regularized_value_target, none.value_target);
  EXPECT_EQ(none.policy_prior_kl, 0);
  const UpdateMetrics first = target(0);
  EXPECT_EQ(first.regularized_value_target, first.value_target);
  EXPECT_GT(first.policy_prior_kl, 0);
  const UpdateMetrics last = target(3);
  EXPECT_LT(last.regularized_value_target, last.value_target);
  EXPECT_EQ(last.policy_prior_kl, 0);
}

TEST(UpdaterTest, ImitationOfStoredPlansReachesThem) {
  proto::RunConfig config = FastConfig();
  config.mutable_po_mpc()->set_alpha(1);
  config.mutable_po_mpc()->set_prior(proto::PoMpcConfig::REPLAY);
  const auto updater = MakeUpdater(config);
  const Batch batch = MakeBatch(FastConfig(), 3);
  const double before = MustStep(*updater, batch).policy_prior_kl;
  for (int i = 0; i < 400; ++i) MustStep(*updater, batch, false);
  EXPECT_LT(MustStep(*updater, batch).policy_prior_kl, 0.3 * before);
  EXPECT_EQ(Exported(*updater, "scale.value").item<float>(), 1);
}

TEST(UpdaterTest, ThePenaltyLowersRegularizedValues) {
  proto::RunConfig config = FastConfig();
  config.mutable_po_mpc()->set_alpha(0.9);
  const auto updater = MakeUpdater(config);
  UpdateMetrics metrics;
  for (uint64_t i = 0; i < 100; ++i) metrics = MustStep(*updater, MakeBatch(FastConfig(), 3));
  EXPECT_LT(metrics.regularized_value_target, metrics.value_target - 0.05);
  EXPECT_GT(metrics.policy_prior_kl, 0);
}

TEST(UpdaterTest, PureImitationHasNoRegularizedValuesAndTakesNothingFromTheOthers) {
  proto::RunConfig config = FastConfig();
  config.mutable_po_mpc()->set_alpha(1);
  const auto a = MakeUpdater(config);
  const auto b = MakeUpdater(config);
  for (const model::NamedTensor& named : a->Export().tensors)
    EXPECT_NE(named.name.rfind("regularized", 0), 0u);
  // Other rewards change model and values, and leave the policy's step as it is.
  Batch batch = MakeBatch(FastConfig(), 5);
  const UpdateMetrics metrics = MustStep(*a, batch);
  batch.rewards = batch.rewards * 100 + 50;
  MustStep(*b, batch);
  EXPECT_FALSE(at::equal(a->model().q().flat(), b->model().q().flat()));
  EXPECT_TRUE(at::equal(a->model().policy().flat(), b->model().policy().flat()));
  EXPECT_GT(metrics.policy_gradient_norm, 0);
  EXPECT_EQ(metrics.regularized_value_loss, 0);
}

TEST(UpdaterTest, WithoutAnyPlanPriorAndPenaltyRestAndThePolicyFollowsTheValues) {
  proto::RunConfig config = FastConfig();
  const auto updater = MakeUpdater(config);
  const at::Tensor prior = Exported(*updater, "prior.0.weight");
  const at::Tensor policy = updater->model().policy().flat().clone();
  UpdateMetrics metrics;
  for (uint64_t i = 0; i < 20; ++i) {
    Batch batch = MakeBatch(FastConfig(), i);
    batch.has_plan.zero_();
    metrics = MustStep(*updater, batch);
  }
  EXPECT_EQ(metrics.planned_share, 0);
  EXPECT_EQ(metrics.prior_loss, 0);
  EXPECT_EQ(metrics.policy_prior_kl, 0);
  EXPECT_TRUE(at::equal(prior, Exported(*updater, "prior.0.weight")));
  EXPECT_FALSE(at::equal(policy, updater->model().policy().flat()));
  EXPECT_TRUE(
      at::equal(Exported(*updater, "q.2.weight"), Exported(*updater, "regularized_q.2.weight")));
  // From the first plan on all of it is trained.
  metrics = MustStep(*updater, MakeBatch(FastConfig(), 50));
  EXPECT_GT(metrics.prior_loss, 0);
  EXPECT_FALSE(at::equal(prior, Exported(*updater, "prior.0.weight")));
}

TEST(UpdaterTest, PureImitationRestsUntilThereIsAPlan) {
  for (const proto::PoMpcConfig::Prior prior :
       {proto::PoMpcConfig::LEARNED, proto::PoMpcConfig::REPLAY}) {
    proto::RunConfig config = FastConfig();
    config.mutable_po_mpc()->set_alpha(1);
    config.mutable_po_mpc()->set_prior(prior);
    const auto updater = MakeUpdater(config);
    const at::Tensor policy = updater->model().policy().flat().clone();
    Batch batch = MakeBatch(FastConfig(), 1);
    batch.has_plan.zero_();
    for (int i = 0; i < 3; ++i) {
      const UpdateMetrics metrics = MustStep(*updater, batch);
      EXPECT_EQ(metrics.policy_loss, 0);
      EXPECT_GT(metrics.value_loss, 0);
    }
    EXPECT_TRUE(at::equal(policy, updater->model().policy().flat()));
    MustStep(*updater, MakeBatch(FastConfig(), 2));
    EXPECT_FALSE(at::equal(policy, updater->model().policy().flat()));
  }
}

TEST(UpdaterTest, RowsWithoutAPlanMayHoldAnything) {
  const auto a = MakeUpdater(FastConfig());
  const auto b = MakeUpdater(FastConfig());
  Batch batch = MakeBatch(FastConfig(), 5);
  batch.has_plan.narrow(0, 0, 3).zero_();
  MustStep(*a, batch);
  batch.plan_mean.narrow(0, 0, 3).fill_(std::numeric_limits<float>::quiet_NaN());
  batch.plan_std.narrow(0, 0, 3).fill_(-1);
  MustStep(*b, batch);
  ExpectSameState(a->Export(), b->Export());
}

TEST(UpdaterTest, TargetsFollowAtRateTau) {
  proto::RunConfig config = FastConfig();
  config.mutable_learner()->set_tau(0.25);
  const auto updater = MakeUpdater(config);
  const at::Tensor before = Exported(*updater, "q.2.weight");
  MustStep(*updater, MakeBatch(FastConfig(), 1));
  for (const std::string prefix : {"q", "regularized_q"}) {
    const at::Tensor online = Exported(*updater, prefix + ".2.weight");
    EXPECT_TRUE(model::AllClose(Exported(*updater, prefix + "_target.2.weight"),
                                before + 0.25 * (online - before), 1e-7));
    EXPECT_FALSE(at::equal(online, before));
  }
}

TEST(UpdaterTest, MetricsHaveUniqueNamesAndComeOnlyWhenWanted) {
  const auto updater = MakeUpdater(FastConfig());
  const auto wanted = MustStep(*updater, MakeBatch(FastConfig(), 1), true).Named();
  std::set<std::string> names;
  for (const auto& [name, value] : wanted) {
    EXPECT_TRUE(names.insert(std::string(name)).second) << name;
    EXPECT_TRUE(std::isfinite(value)) << name;
  }
  for (const auto& [name, value] : MustStep(*updater, MakeBatch(FastConfig(), 1), false).Named()) {
    EXPECT_EQ(value, 0) << name;
  }
}

TEST(UpdaterTest, NonFiniteDataStopsBeforeTheParameters) {
  const auto updater = MakeUpdater(FastConfig());
  const at::Tensor before = updater->model().flat().clone();
  Batch batch = MakeBatch(FastConfig(), 1);
  batch.rewards[0][1] = std::numeric_limits<float>::quiet_NaN();
  const absl::Status status = updater->Step(batch, false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("model loss is not finite in update 1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("reward"));
  EXPECT_TRUE(at::equal(before, updater->model().flat()));
}

TEST(UpdaterTest, GoesBackToWhatItKeptBitForBit) {
  const auto updater = MakeUpdater(FastConfig());
  for (uint64_t i = 0; i < 3; ++i) MustStep(*updater, MakeBatch(FastConfig(), i));
  ASSERT_TRUE(updater->Keep().ok());
  const UpdaterState kept = updater->Export();
  Batch spoilt = MakeBatch(FastConfig(), 8);
  // The model and the values are stepped before the policy's loss is found to be no number.
  spoilt.plan_std[2][0] = std::numeric_limits<float>::quiet_NaN();
  MustStep(*updater, MakeBatch(FastConfig(), 7));
  const absl::Status status = updater->Step(spoilt, false).status();
  EXPECT_EQ(NotFiniteName(status), "prior") << status;
  EXPECT_NE(updater->update_count(), 3);
  updater->GoBack();
  ExpectSameState(kept, updater->Export());
  // And on, as if nothing had been.
  const auto undisturbed = MakeUpdater(FastConfig());
  for (uint64_t i = 0; i < 5; ++i) MustStep(*undisturbed, MakeBatch(FastConfig(), i));
  for (uint64_t i = 3; i < 5; ++i) MustStep(*updater, MakeBatch(FastConfig(), i));
  ExpectSameState(undisturbed->Export(), updater->Export());
}

TEST(UpdaterTest, PrioritiesOfUpdatesThatAreUndoneAreDropped) {
  const auto updater = MakeUpdater(FastConfig());
  ASSERT_TRUE(updater->Keep().ok());
  Batch batch = MakeBatch(FastConfig(), 1);
  batch.importance = at::ones({batch.actions.size(0)});
  MustStep(*updater, batch);
  updater->GoBack();
  EXPECT_TRUE(updater->TakePriorities().empty());
  MustStep(*updater, batch);
  EXPECT_EQ(updater->TakePriorities().size(), 1u);
}

TEST(UpdaterTest, GoesBackToBeforeThePriorWasEverTrained) {
  const auto updater = MakeUpdater(FastConfig());
  ASSERT_TRUE(updater->Keep().ok());
  const UpdaterState kept = updater->Export();
  MustStep(*updater, MakeBatch(FastConfig(), 1));
  updater->GoBack();
  ExpectSameState(kept, updater->Export());
}

// An update that goes wrong, or a device that does, can leave any number behind.
TEST(UpdaterTest, KeepsNothingThatIsNotFiniteAndSaysWhichLossMadeIt) {
  Learnables learned(model::WorldModel::Create(FastConfig(), at::kCPU, /*seed=*/1), 1);
  ASSERT_TRUE(learned.Keep().ok());
  const UpdaterState kept = learned.Export();
  at::NoGradGuard no_grad;
  const auto moments = [&](const std::string& name, size_t order) {
    for (const Optimizer& optimizer : learned.optimizers) {
      if (optimizer.name == name) return optimizer.adam.Moments("")[order].tensor;
    }
    return at::Tensor();
  };
  const std::pair<at::Tensor, const char*> cases[] = {
      {learned.world_model.flat(), "model"},
      {learned.heads[0].target.flat(), "model"},
      {moments("model", 0), "model"},
      {learned.heads[1].online.flat(), "regularized_value"},
      {learned.heads[1].target.flat(), "regularized_value"},
      {learned.prior->flat(), "prior"},
      {learned.world_model.policy().flat(), "policy"},
      {moments("policy", 1), "policy"},
      {learned.kl_scale.value().view({1}), "policy"}};
  for (const auto& [tensor, loss] : cases) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      tensor.detach().view(-1)[0] = bad;
      EXPECT_EQ(NotFiniteName(learned.Keep()), loss) << bad;
      learned.GoBack();
      ExpectSameState(kept, learned.Export());
    }
  }
}

// Learnables::Visit: what one of the three forgets the others must forget too.
TEST(UpdaterTest, WhatACheckpointHoldsIsWhatIsKept) {
  const auto updater = MakeUpdater(FastConfig());
  // A state in which no two numbers are the same by accident.
  const auto arbitrary = [&](uint64_t seed) {
    UpdaterState state = updater->Export();
    for (model::NamedTensor& named : state.tensors)
      named.tensor = model::Draw(++seed, named.tensor.sizes()).abs() + 0.1;
    for (auto& [name, text] : state.metadata) {
      if (name != "updater.format" && name != "updater.prior_trained")
        text = std::to_string(++seed);
    }
    state.metadata["updater.prior_trained"] = seed % 2 == 0 ? "0" : "1";
    return state;
  };
  const UpdaterState first = arbitrary(1);
  const UpdaterState second = arbitrary(1000);
  ASSERT_NE(first.metadata, second.metadata);
  ASSERT_TRUE(updater->Import(first).ok());
  ExpectSameState(first, updater->Export());
  ASSERT_TRUE(updater->Keep().ok());
  ASSERT_TRUE(updater->Import(second).ok());
  ExpectSameState(second, updater->Export());
  updater->GoBack();
  ExpectSameState(first, updater->Export());
}

TEST(UpdaterDeathTest, CallsInTheWrongOrderAreBugs) {
  const auto updater = MakeUpdater(FastConfig());
  EXPECT_DEATH(updater->GoBack(), "nothing was kept");
  EXPECT_DEATH(updater->Synchronize().IgnoreError(), "ranks_ != nullptr");
  EXPECT_DEATH(UpdateMetrics::OfParts({}), "!parts.empty\\(\\)");
}

TEST(UpdaterTest, WrongShapesChangeNothing) {
  const auto updater = MakeUpdater(FastConfig());
  const UpdaterState before = updater->Export();
  Batch batch = MakeBatch(FastConfig(), 1);
  batch.rewards = batch.rewards.narrow(1, 0, 2);
  EXPECT_EQ(updater->Step(batch, false).status().code(), absl::StatusCode::kInvalidArgument);
  ExpectSameState(before, updater->Export());
}

TEST(UpdaterTest, ImportRefusesWhatDoesNotFitAndChangesNothing) {
  const auto updater = MakeUpdater(FastConfig());
  MustStep(*updater, MakeBatch(FastConfig(), 1));
  const UpdaterState before = updater->Export();
  const auto refused = [&](UpdaterState state, const char* what) {
    const absl::Status status = updater->Import(state);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << what;
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
    ExpectSameState(before, updater->Export());
  };
  UpdaterState state = before;
  state.metadata.erase("updater.update_count");
  refused(state, "\"updater.update_count\" is missing");
  state = before;
  state.metadata["updater.seed"] = "x";
  refused(state, "\"updater.seed\" is \"x\"");
  state = before;
  state.metadata["updater.format"] = "2";
  refused(state, "\"updater.format\" is \"2\": must be 1");
  for (const char* count : {"-1", "1.5", "1e3", "", " 1", "9223372036854775808"}) {
    state = before;
    state.metadata["updater.update_count"] = count;
    refused(state, "\"updater.update_count\" is");
    state = before;
    state.metadata["updater.adam_steps.model"] = count;
    refused(state, "\"updater.adam_steps.model\" is");
  }
  state = before;
  state.metadata["updater.prior_trained"] = "2";
  refused(state, "must be 0 or 1");
  // What no update makes, one number of each kind of tensor.
  const auto with = [&](const std::string& name, double number) {
    UpdaterState changed = before;
    for (model::NamedTensor& named : changed.tensors) {
      if (named.name != name) continue;
      named.tensor = named.tensor.clone();
      named.tensor.view({-1})[0] = number;
    }
    return changed;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  refused(with("encoder.0.weight", nan), "\"encoder.0.weight\": all its numbers must be finite");
  refused(with("adam.model.m", INFINITY), "\"adam.model.m\": all its numbers must be finite");
  refused(with("adam.policy.v", -1e-30), "\"adam.policy.v\": all its numbers must be 0 or more");
  refused(with("scale.value", 0), "\"scale.value\": all its numbers must be above 0");
  refused(with("scale.kl", -1), "\"scale.kl\": all its numbers must be above 0");
  state = before;
  state.tensors.pop_back();
  refused(state, "\"scale.kl\" is missing");
  proto::RunConfig imitation = FastConfig();
  imitation.mutable_po_mpc()->set_alpha(1);
  refused(MakeUpdater(imitation)->Export(), "regularized");
  proto::RunConfig larger = FastConfig();
  larger.mutable_model()->set_mlp_dim(24);
  refused(MakeUpdater(larger)->Export(), "dynamics.0.weight");
}

// The paths without kernels: float64, and the ATen operations that other devices use.
TEST(UpdaterTest, Float64AgreesWithFloat32) {
  const proto::RunConfig config = FastConfig();
  const auto single = MakeUpdater(config, 1);
  const auto wide = MakeUpdater(config, 1, at::kDouble);
  const UpdateMetrics a = MustStep(*single, MakeBatch(config, 1));
  const UpdateMetrics b = MustStep(*wide, MakeBatch(config, 1));
  const auto named = b.Named();
  for (size_t i = 0; i < named.size(); ++i) {
    EXPECT_NEAR(a.Named()[i].second, named[i].second, 1e-4 * (1 + std::abs(named[i].second)))
        << named[i].first;
  }
}

TEST(UpdaterTest, ModelPlansAfterUpdates) {
  const auto updater = MakeUpdater(FastConfig());
  for (uint64_t i = 0; i < 3; ++i) MustStep(*updater, MakeBatch(FastConfig(), i), false);
  proto::RunConfig config = FastConfig();
  config.mutable_planner()->set_samples(32);
  config.mutable_planner()->set_policy_samples(4);
  config.mutable_planner()->set_elites(8);
  model::PlanInputs inputs;
  inputs.observations = model::Draw(1, {2, 3});
  inputs.seeds = {1, 2};
  const model::Plans plans = model::Plan(updater->model(), config, inputs);
  EXPECT_TRUE(plans.actions.isfinite().all().item<bool>());
  EXPECT_FALSE(plans.value.requires_grad());
}

}  // namespace
}  // namespace pompc::update
