#include "model/planning/device_planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "common/base/threads.h"
#include "model/ops.h"
#include "tests/model/planning/plan_inputs.h"
#include "tests/model/strict_recorder.h"

namespace pompc::model {
namespace {

proto::RunConfig DeviceConfig(bool terminates = false) {
  proto::RunConfig config = SmallConfig();
  config.mutable_env()->mutable_spec()->set_terminates(terminates);
  config.mutable_planner()->set_iterations(4);
  config.mutable_planner()->set_samples(64);
  config.mutable_planner()->set_policy_samples(8);
  config.mutable_planner()->set_elites(12);
  return config;
}

void ExpectSamePlans(const Plans& a, const Plans& b, double tolerance) {
  EXPECT_TRUE(AllClose(a.actions, b.actions, tolerance));
  EXPECT_TRUE(AllClose(a.mean, b.mean, tolerance));
  EXPECT_TRUE(AllClose(a.std, b.std, tolerance));
  EXPECT_TRUE(AllClose(a.value, b.value, 10 * tolerance));
  EXPECT_TRUE(AllClose(a.warm_start, b.warm_start, tolerance));
  EXPECT_EQ(a.iterations, b.iterations);
}

std::unique_ptr<Recorder> PlainRecorder() { return std::make_unique<Recorder>(at::kCPU); }

TEST(DevicePlannerTest, PlansAreThoseOfPlan) {
  for (const auto method : {proto::PlannerConfig::MPPI, proto::PlannerConfig::CEM}) {
    for (const bool terminates : {false, true}) {
      proto::RunConfig config = DeviceConfig(terminates);
      config.mutable_planner()->set_method(method);
      DevicePlanner planner(config, ModelWithValues(config, 1), PlainRecorder);
      // Any version, in batches that are filled up and in such that are full.
      for (const int64_t batch : {1, 3, 4, 7}) {
        const WorldModel model = ModelWithValues(config, static_cast<uint64_t>(batch));
        const PlanInputs inputs = SomePlanInputs(config, batch, 5 + static_cast<uint64_t>(batch));
        PlanInputs together = inputs;
        together.states_per_pass = batch;
        ExpectSamePlans(planner.Plan(model, inputs), Plan(model, config, together), 1e-5);
      }
    }
  }
}

// What a recording relies on, and what no device is needed to see.
TEST(DevicePlannerTest, EveryPlanIsTheSameOperationsAndNoneWaits) {
  const ReferenceScope scope;
  for (const auto method : {proto::PlannerConfig::MPPI, proto::PlannerConfig::CEM}) {
    for (const auto form :
         {proto::ModelConfig::CLIPPED_GAUSSIAN, proto::ModelConfig::TANH_GAUSSIAN}) {
      proto::RunConfig config = DeviceConfig(/*terminates=*/true);
      config.mutable_planner()->set_method(method);
      config.mutable_model()->set_policy_form(form);
      std::vector<const Recorder*> recorders;
      DevicePlanner planner(config, ModelWithValues(config, 1), [&] {
        auto recorder = std::make_unique<StrictRecorder>(at::kCPU);
        recorders.push_back(recorder.get());
        return recorder;
      });
      for (uint64_t i = 0; i < 4; ++i) {
        for (const int64_t batch : {1, 3, 4}) {
          PlanInputs inputs = SomePlanInputs(config, batch, i);
          if (i % 2 == 1) inputs.has_warm_start.flip();
          if (i >= 2) inputs.evaluate.flip();
          planner.Plan(ModelWithValues(config, i), inputs);
        }
      }
      // Batches of 3 are filled up to 4.
      EXPECT_EQ(recorders.size(), 2u);
      EXPECT_EQ(planner.replays(), 3 + 7);
    }
  }
}

TEST(DevicePlannerTest, WarmUpRecordsForEverySizeOfBatch) {
  const proto::RunConfig config = DeviceConfig();
  const WorldModel model = ModelWithValues(config, 1);
  int recorders = 0;
  DevicePlanner planner(config, model, [&] {
    ++recorders;
    return PlainRecorder();
  });
  planner.WarmUp(model, 6);
  EXPECT_EQ(recorders, 4) << "1, 2, 4 and 8";
  for (int64_t batch = 1; batch <= 6; ++batch)
    planner.Plan(model, SomePlanInputs(config, batch, 3));
  EXPECT_EQ(recorders, 4);
}

// Each iteration takes ten milliseconds of the fake clock.
class SlowRecorder : public Recorder {
 public:
  explicit SlowRecorder(FakeClock* clock) : Recorder(at::kCPU), clock_(clock) {}
  at::Tensor Run(int variant, absl::FunctionRef<at::Tensor()> program) override {
    clock_->Advance(variant * absl::Milliseconds(10));
    return program();
  }

 private:
  FakeClock* const clock_;
};

TEST(DevicePlannerTest, MakesAsManyIterationsAsThereIsTimeFor) {
  const proto::RunConfig config = DeviceConfig();
  const WorldModel model = ModelWithValues(config, 1);
  FakeClock clock;
  DevicePlanner planner(config, model, [&] { return std::make_unique<SlowRecorder>(&clock); });
  const auto iterations = [&](absl::Duration first, absl::Duration second) {
    PlanInputs inputs = SomePlanInputs(config, 2, 3);
    inputs.clock = &clock;
    inputs.finish_by = {clock.Now() + first, clock.Now() + second};
    return planner.Plan(model, inputs).iterations;
  };
  using Both = std::vector<int>;
  const absl::Duration long_enough = absl::Seconds(1);
  // Those that record are not measured.
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(iterations(absl::ZeroDuration(), long_enough), Both({4, 4})) << i;
  EXPECT_EQ(iterations(long_enough, absl::Milliseconds(25)), Both({2, 2}));
  EXPECT_EQ(iterations(absl::Milliseconds(30), long_enough), Both({3, 3}));
  EXPECT_EQ(iterations(absl::Milliseconds(-5), long_enough), Both({1, 1}));
  EXPECT_EQ(iterations(long_enough, absl::InfiniteDuration()), Both({4, 4}));
}

TEST(DevicePlannerTest, CudaReplaysThePlansOfTheCpu) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  const proto::RunConfig config = DeviceConfig(/*terminates=*/true);
  const WorldModel model = ModelWithValues(config, 1);
  const WorldModel on_device = model.Clone(at::kCUDA);
  DevicePlanner planner(config, on_device,
                        [&] { return MakeRecorder(on_device.device(), /*records=*/true); });
  planner.WarmUp(on_device, 8);
  const int64_t before = planner.replays();
  for (const int64_t batch : {1, 3, 8}) {
    const PlanInputs inputs = SomePlanInputs(config, batch, 7);
    PlanInputs together = inputs;
    together.states_per_pass = batch;
    ExpectSamePlans(planner.Plan(on_device, inputs), Plan(model, config, together), 1e-3);
  }
  EXPECT_EQ(planner.replays(), before + 3);
}

}  // namespace
}  // namespace pompc::model
