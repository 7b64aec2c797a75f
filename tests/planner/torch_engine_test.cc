// Published parameters to plans, with the real model; alone and through the service.
#include "planner/torch_engine.h"

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/threads.h"
#include "common/values/float_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "planner/client/planner_client.h"
#include "tests/planner/planner_fixture.h"
#include "tests/planner/torch_snapshot.h"

namespace pompc::planner {
namespace {

using ::testing::HasSubstr;

constexpr int kObservationSize = 5, kActionSize = 2, kHorizon = 3;

proto::RunConfig TestConfig() {
  proto::RunConfig config;
  proto::EnvSpec* spec = config.mutable_env()->mutable_spec();
  spec->set_observation_size(kObservationSize);
  spec->set_action_size(kActionSize);
  config.mutable_model()->set_size("tiny");
  proto::PlannerConfig* planner = config.mutable_planner();
  planner->set_horizon(kHorizon);
  planner->set_iterations(3);
  planner->set_samples(64);
  planner->set_policy_samples(4);
  planner->set_elites(8);
  config.mutable_learner()->set_discount(0.98);
  return config;
}

// Requests that differ in everything a request has.
PlanItem TestItem(int i) {
  PlanItem item;
  for (int k = 0; k < kObservationSize; ++k) {
    item.observation.push_back(std::sin(static_cast<float>(7 * i + k)));
  }
  if (i % 2 == 1) {
    for (int k = 0; k < kHorizon * kActionSize; ++k) {
      item.warm_start.push_back(0.5f * std::cos(static_cast<float>(5 * i + k)));
    }
  }
  item.seed = 1000 + i;
  item.evaluate = i % 3 == 0;
  return item;
}

std::shared_ptr<PlanEngine> CpuEngine() {
  auto engine = MakeTorchEngine({.device = "cpu", .threads = 1});
  EXPECT_TRUE(engine.ok()) << engine.status();
  return *engine;
}

std::vector<float> All(const Plan& plan) {
  std::vector<float> all = plan.action;
  for (const auto* part : {&plan.plan_mean, &plan.plan_std, &plan.warm_start}) {
    all.insert(all.end(), part->begin(), part->end());
  }
  all.push_back(plan.plan_value);
  return all;
}

// A plan of one request, by itself.
Plan PlanAlone(PlanEngine& engine, const PlannerModel& model, const PlanItem& item) {
  const PlanItem* const items[] = {&item};
  auto plans = engine.PlanBatch(model, items);
  EXPECT_TRUE(plans.ok()) << plans.status();
  return plans->at(0);
}

TEST(TorchEngineTest, PlanHasTheShapesAndRangesOfTheContract) {
  const auto engine = CpuEngine();
  const auto model = engine->Load(TorchSnapshot(TestConfig(), {1, 2}, 1));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->version(), (ParameterVersion{1, 2}));
  EXPECT_EQ((*model)->run_id(), "run");
  EXPECT_EQ((*model)->spec().observation_size, kObservationSize);
  EXPECT_EQ((*model)->spec().max_batch, 64);
  const Plan plan = PlanAlone(*engine, **model, TestItem(1));
  ASSERT_EQ(plan.action.size(), 2u);
  for (const float action : plan.action) EXPECT_LE(std::abs(action), 1);
  EXPECT_EQ(plan.plan_mean.size(), 2u);
  ASSERT_EQ(plan.plan_std.size(), 2u);
  for (const float std : plan.plan_std) EXPECT_GE(std, 0.05f);
  EXPECT_EQ(plan.warm_start.size(), 6u);
}

TEST(TorchEngineTest, APlanThatIsLateMakesOneIterationAndNoneIsLeftOut) {
  const auto engine = CpuEngine();
  proto::RunConfig config = TestConfig();
  config.mutable_planner()->set_budget_ms(2.5);
  const auto model = *engine->Load(TorchSnapshot(config, {1, 1}, 1));
  EXPECT_EQ(model->spec().iterations, 3);
  EXPECT_EQ(model->spec().budget, absl::Microseconds(2500));
  PlanItem item = TestItem(1);
  EXPECT_EQ(PlanAlone(*engine, *model, item).iterations, 3);
  item.finish_by = Clock::Real()->Now() - absl::Seconds(1);
  const Plan late = PlanAlone(*engine, *model, item);
  EXPECT_EQ(late.iterations, 1);
  EXPECT_EQ(late.action.size(), 2u);
}

TEST(TorchEngineTest, WarmStartSeedAndEvaluationFlagReachThePlan) {
  const auto engine = CpuEngine();
  const auto model = *engine->Load(TorchSnapshot(TestConfig(), {1, 1}, 1));
  const PlanItem item = TestItem(1);
  const std::vector<float> plan = All(PlanAlone(*engine, *model, item));
  EXPECT_EQ(All(PlanAlone(*engine, *model, item)), plan);
  PlanItem other = item;
  other.seed = 5;
  EXPECT_NE(All(PlanAlone(*engine, *model, other)), plan);
  other = item;
  other.warm_start.clear();
  EXPECT_NE(All(PlanAlone(*engine, *model, other)), plan);
  other = item;
  other.evaluate = true;
  const Plan evaluated = PlanAlone(*engine, *model, other);
  EXPECT_EQ(evaluated.plan_mean, PlanAlone(*engine, *model, item).plan_mean);
  EXPECT_NE(evaluated.action, PlanAlone(*engine, *model, item).action);
}

TEST(TorchEngineTest, PlansWithTheMethodOfTheVersionsConfig) {
  const auto engine = CpuEngine();
  proto::RunConfig config = TestConfig();
  const auto mppi = *engine->Load(TorchSnapshot(config, {1, 1}, 1));
  config.mutable_planner()->set_method(proto::PlannerConfig::CEM);
  const auto cem = *engine->Load(TorchSnapshot(config, {1, 2}, 1));
  PlanItem item = TestItem(1);
  item.evaluate = true;
  const Plan plan = PlanAlone(*engine, *cem, item);
  EXPECT_EQ(plan.action, plan.plan_mean) << "CEM executes the mean";
  EXPECT_NE(All(PlanAlone(*engine, *mppi, item)), All(plan));
}

TEST(TorchEngineTest, Bfloat16ParametersPlanAsTheirValuesInFloat32Do) {
  const auto engine = CpuEngine();
  const model::NamedTensors exact = TorchParameters(TestConfig(), 1);
  const model::NamedTensors narrow = model::Convert(exact, at::kFloat, at::kBFloat16);
  const model::NamedTensors rounded = model::Convert(narrow, at::kBFloat16, at::kFloat);
  const auto model = engine->Load(SnapshotOf(TestConfig(), {1, 1}, narrow));
  ASSERT_TRUE(model.ok()) << model.status();
  const auto same = *engine->Load(SnapshotOf(TestConfig(), {1, 2}, rounded));
  const auto other = *engine->Load(SnapshotOf(TestConfig(), {1, 3}, exact));
  const std::vector<float> plan = All(PlanAlone(*engine, **model, TestItem(0)));
  EXPECT_EQ(plan, All(PlanAlone(*engine, *same, TestItem(0))));
  EXPECT_NE(plan, All(PlanAlone(*engine, *other, TestItem(0))));
}

TEST(TorchEngineTest, LoadingAVersionLeavesEarlierOnesAsTheyWere) {
  const auto engine = CpuEngine();
  const auto first = *engine->Load(TorchSnapshot(TestConfig(), {1, 1}, 1));
  const std::vector<float> before = All(PlanAlone(*engine, *first, TestItem(0)));
  const auto second = *engine->Load(TorchSnapshot(TestConfig(), {1, 2}, 2));
  EXPECT_EQ(All(PlanAlone(*engine, *first, TestItem(0))), before);
  EXPECT_NE(All(PlanAlone(*engine, *second, TestItem(0))), before);
}

// What is made once for a model, on a GPU the recordings of all its operations, is not made anew
// whenever another run had a version in between.
TEST(TorchEngineTest, VersionsOfRunsThatTakeTurnsFindWhatTheVersionBeforeHad) {
  const auto engine = CpuEngine();
  proto::RunConfig wide = TestConfig();
  wide.mutable_env()->mutable_spec()->set_observation_size(kObservationSize + 1);
  parameters::ParameterSnapshot one = TorchSnapshot(TestConfig(), {1, 1}, 1);
  parameters::ParameterSnapshot other = TorchSnapshot(wide, {1, 1}, 1);
  other.description.set_run_id("other");
  ::testing::internal::CaptureStderr();
  auto one_model = engine->Load(one);
  auto other_model = engine->Load(other);
  for (int i = 0; i < 3; ++i) {
    one_model = engine->Load(one);
    other_model = engine->Load(other);
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(one_model.ok() && other_model.ok()) << one_model.status() << other_model.status();
  int made = 0;
  for (size_t at = log.find("plans multiply"); at != std::string::npos;
       at = log.find("plans multiply", at + 1)) {
    ++made;
  }
  EXPECT_EQ(made, 2) << log;
}

TEST(TorchEngineTest, ParametersThatDoNotFitAreRefusedNamingWhat) {
  const auto engine = CpuEngine();
  parameters::ParameterSnapshot snapshot = TorchSnapshot(TestConfig(), {1, 1}, 1);
  snapshot.description.mutable_tensors(0)->set_name("encoder.unknown");
  absl::Status status = engine->Load(snapshot).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("encoder"));

  snapshot = TorchSnapshot(TestConfig(), {1, 1}, 1);
  snapshot.description.mutable_config()->mutable_model()->set_size("small");
  EXPECT_EQ(engine->Load(snapshot).status().code(), absl::StatusCode::kInvalidArgument);

  snapshot = TorchSnapshot(TestConfig(), {1, 1}, 1);
  snapshot.description.mutable_config()->mutable_env()->clear_spec();
  status = engine->Load(snapshot).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("env.spec"));
}

TEST(TorchEngineTest, UnknownDeviceAndBadThreadsAreRefusedNamingTheAllowed) {
  absl::Status status = MakeTorchEngine({.device = "tpu"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cuda"));
  status = MakeTorchEngine({.threads = -1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("1 to 1024"));
}

TEST(TorchEngineTest, ThreadsThatPlanAtOnceDoNotChangeEachOthersPlans) {
  constexpr int kThreads = 3, kItems = 6;
  const auto engine = *MakeTorchEngine({.threads = kThreads});
  ASSERT_EQ(engine->threads(), kThreads);
  const auto model = *engine->Load(TorchSnapshot(TestConfig(), {1, 1}, 1));
  std::vector<std::vector<float>> alone;
  for (int i = 0; i < kItems; ++i) alone.push_back(All(PlanAlone(*engine, *model, TestItem(i))));
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back("plan", [&, t] {
      for (int i = t; i < t + kItems; ++i) {
        const int item = i % kItems;
        EXPECT_EQ(All(PlanAlone(*engine, *model, TestItem(item))), alone[item]);
      }
    });
  }
}

TEST(TorchEngineTest, ByDefaultEveryCorePlans) {
  EXPECT_EQ((*MakeTorchEngine({}))->threads(), UsableCores());
}

// Lets a test decide when a batch may be planned.
class GatedEngine : public PlanEngine {
 public:
  explicit GatedEngine(std::shared_ptr<PlanEngine> engine) : engine_(std::move(engine)) {}

  absl::StatusOr<std::vector<Plan>> PlanBatch(const PlannerModel& model,
                                              absl::Span<const PlanItem* const> items) override {
    {
      MutexLock lock(&mu_);
      waiting_ = true;
      changed_.SignalAll();
      while (closed_) changed_.Wait(&mu_);
      waiting_ = false;
    }
    return engine_->PlanBatch(model, items);
  }
  absl::StatusOr<std::shared_ptr<const PlannerModel>> Load(
      const parameters::ParameterSnapshot& snapshot) override {
    return engine_->Load(snapshot);
  }
  std::string arithmetic() const override { return engine_->arithmetic(); }

  void SetClosed(bool closed) {
    MutexLock lock(&mu_);
    closed_ = closed;
    changed_.SignalAll();
  }
  // Blocks until a batch waits at the closed gate.
  void AwaitBatch() {
    MutexLock lock(&mu_);
    while (!waiting_) changed_.Wait(&mu_);
  }

 private:
  const std::shared_ptr<PlanEngine> engine_;
  Mutex mu_;
  CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  bool waiting_ ABSL_GUARDED_BY(mu_) = false;
};

class TorchPlannerTest : public PlannerTestBase {
 protected:
  TorchPlannerTest() : TorchPlannerTest(std::make_shared<GatedEngine>(CpuEngine())) {}

  const std::shared_ptr<GatedEngine> gate_;

 private:
  explicit TorchPlannerTest(std::shared_ptr<GatedEngine> gate)
      : PlannerTestBase("", gate), gate_(std::move(gate)) {}
};

proto::PlanRequest ToRequest(const PlanItem& item) {
  proto::PlanRequest request;
  proto::PlanQuery* query = request.add_queries();
  query->set_observation(ToBytes<float>(item.observation));
  query->set_warm_start(ToBytes<float>(item.warm_start));
  query->set_seed(item.seed);
  request.set_evaluate(item.evaluate);
  return request;
}

std::vector<float> All(const proto::Plan& plan) {
  std::vector<float> all;
  for (const std::string* part :
       {&plan.action(), &plan.plan_mean(), &plan.plan_std(), &plan.warm_start()}) {
    const auto values = *FromBytes<float>(*part, "part", part->size() / sizeof(float));
    all.insert(all.end(), values.begin(), values.end());
  }
  all.push_back(plan.plan_value());
  return all;
}

TEST_F(TorchPlannerTest, RequestAloneAndInABatchGetsTheSamePlan) {
  constexpr int kRequests = 9;
  publisher_.Publish(TorchSnapshot(TestConfig(), {1, 1}, 1));
  ASSERT_TRUE(Await([&] { return app_->Health().ok(); }));
  std::vector<proto::Plan> alone;
  for (int i = 0; i < kRequests; ++i) {
    const auto reply = Plan(ToRequest(TestItem(i)));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->plans(0).batch_size(), 1u);
    alone.push_back(reply->plans(0));
  }
  // The first request occupies the engine; the others meanwhile form a batch.
  gate_->SetClosed(true);
  PlannerClient client({.planners = {app_->server().InProcessEndpoint()}, .run_id = "run"});
  std::vector<proto::Plan> together(kRequests);
  for (int i = 0; i < kRequests; ++i) {
    client.Plan(ToRequest(TestItem(i)), kLong, [&together, i](absl::StatusOr<proto::PlanReply> r) {
      ASSERT_TRUE(r.ok()) << r.status();
      together[i] = r->plans(0);
    });
    gate_->AwaitBatch();
    ASSERT_TRUE(Await([&] { return static_cast<int>(Info().queued()) == i; }));
  }
  gate_->SetClosed(false);
  ASSERT_TRUE(Await([&] { return client.waiting().calls == 0; }));
  client.Close();
  for (int i = 0; i < kRequests; ++i) {
    EXPECT_EQ(together[i].batch_size(), i == 0 ? 1u : kRequests - 1u);
    EXPECT_THAT(All(together[i]), ::testing::Pointwise(::testing::FloatNear(1e-5f), All(alone[i])));
  }
  // Those with exploration noise in one request.
  proto::PlanRequest request;
  for (int i = 0; i < kRequests; ++i) {
    if (!TestItem(i).evaluate) *request.add_queries() = ToRequest(TestItem(i)).queries(0);
  }
  const auto reply = Plan(request);
  ASSERT_TRUE(reply.ok()) << reply.status();
  for (int i = 0, at = 0; i < kRequests; ++i) {
    if (TestItem(i).evaluate) continue;
    EXPECT_THAT(All(reply->plans(at++)),
                ::testing::Pointwise(::testing::FloatNear(1e-5f), All(alone[i])));
  }
}

}  // namespace
}  // namespace pompc::planner
