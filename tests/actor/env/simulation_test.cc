#include "actor/env/simulation.h"

#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "actor/env/registry.h"
#include "actor/env/task.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::env {
namespace {

using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr char kSlider[] = R"(
<mujoco>
  <worldbody>
    <body name="box">
      <joint name="slide" type="slide" axis="1 0 0" limited="false"/>
      <geom type="box" size="0.1 0.1 0.1" mass="1"/>
    </body>
  </worldbody>
  <actuator>
    <motor name="push" joint="slide" ctrllimited="true" ctrlrange="0 2"/>
  </actuator>
</mujoco>)";

// A box to push: the observation is its position, the reward its velocity, and the episode ends
// beyond `goal`. Its numbers may be spoilt.
class Slider : public Task {
 public:
  explicit Slider(Physics& physics) : box_(physics.Id(mjOBJ_BODY, "box")) {}

  absl::Status Initialize(Physics& physics, RandomState& random) override {
    return absl::OkStatus();
  }
  void Observe(const Physics& physics, std::vector<double>& out) const override {
    out.push_back(physics.data().xpos[3 * box_]);
  }
  double Reward(const Physics& physics) const override { return physics.data().qvel[0]; }
  bool Terminated(const Physics& physics) const override { return physics.data().qpos[0] > 0.01; }

 private:
  const int box_;
};

TaskDefinition SliderDefinition() {
  return {.name = "slider",
          .mjcf = kSlider,
          .control_seconds = 0.02,
          .episode_seconds = 2,
          .make = [](Physics& physics) { return std::make_unique<Slider>(physics); }};
}

std::unique_ptr<Simulation> MakeSlider() { return *Simulation::Make(SliderDefinition(), 1); }

TEST(SimulationTest, SpecFollowsFromModelAndDefinition) {
  const EnvironmentSpec spec = MakeSlider()->spec();
  EXPECT_EQ(spec.observation_size, 1);
  EXPECT_EQ(spec.action_size, 1);
  EXPECT_EQ(spec.action_low, std::vector<double>{0});
  EXPECT_EQ(spec.action_high, std::vector<double>{2});
  EXPECT_EQ(spec.episode_steps, 100);
  EXPECT_NEAR(spec.step_seconds, 0.02, 1e-12);
}

TEST(SimulationTest, InvalidModelIsRefusedWithMujocosWords) {
  TaskDefinition definition = SliderDefinition();
  definition.mjcf = "<mujoco><worldbody><bodyy/></worldbody></mujoco>";
  const absl::Status status = Simulation::Make(definition, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("slider: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("bodyy"));
}

TEST(SimulationTest, MissingElementIsRefusedByName) {
  TaskDefinition definition = SliderDefinition();
  definition.make = [](Physics& physics) {
    physics.Id(mjOBJ_SITE, "goal");
    return std::make_unique<Slider>(physics);
  };
  const absl::Status status = Simulation::Make(definition, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("site named \"goal\""));
}

TEST(SimulationTest, ActuatorWithoutRangeIsRefused) {
  std::string mjcf = kSlider;
  mjcf.replace(mjcf.find("ctrllimited=\"true\""), 18, "ctrllimited=\"false\"");
  TaskDefinition definition = SliderDefinition();
  definition.mjcf = mjcf;
  EXPECT_EQ(Simulation::Make(definition, 1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SimulationTest, ControlStepShorterThanThePhysicsStepIsRefused) {
  TaskDefinition definition = SliderDefinition();
  definition.control_seconds = 0.0001;
  EXPECT_EQ(Simulation::Make(definition, 1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SimulationTest, StepNeedsARunningEpisode) {
  const auto simulation = MakeSlider();
  EXPECT_EQ(simulation->Step(std::vector{1.0}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(SimulationTest, BadActionIsRefusedAndChangesNothing) {
  const auto simulation = MakeSlider();
  ASSERT_TRUE(simulation->Reset().ok());
  for (const std::vector<double>& action :
       {std::vector{kNan}, std::vector{kInfinity}, std::vector<double>{}, std::vector{1.0, 1.0}}) {
    EXPECT_EQ(simulation->Step(action).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(std::string(simulation->Step(std::vector{kNan}).status().message()),
              HasSubstr("action[0]"));
  EXPECT_EQ(simulation->physics().data().time, 0);
  EXPECT_TRUE(simulation->Step(std::vector{1.0}).ok());
}

TEST(SimulationTest, TerminalStateEndsTheEpisodeOfATaskThatTerminates) {
  for (const bool terminates : {false, true}) {
    TaskDefinition definition = SliderDefinition();
    definition.terminates = terminates;
    const auto simulation = *Simulation::Make(definition, 1);
    EXPECT_EQ(simulation->spec().terminates, terminates);
    ASSERT_TRUE(simulation->Place({.qpos = {0.02}}, Actuation::kEnabled).ok());
    const StepResult result = *simulation->Step(std::vector{1.0});
    EXPECT_EQ(result.terminated, terminates);
    EXPECT_FALSE(result.truncated);
    EXPECT_EQ(simulation->Step(std::vector{1.0}).ok(), !terminates);
  }
}

TEST(SimulationTest, PlacedStateIsSeenWithoutStepping) {
  const auto simulation = MakeSlider();
  ASSERT_TRUE(simulation->Place({.qpos = {0.5}, .qvel = {3}}, Actuation::kEnabled).ok());
  EXPECT_EQ(simulation->observation()[0], 0.5);
  EXPECT_EQ(simulation->reward(), 3);
  EXPECT_EQ(simulation->physics().data().time, 0);
}

TEST(SimulationTest, ActuationCountsOnlyWhereItIsEnabled) {
  const auto simulation = MakeSlider();
  ASSERT_TRUE(simulation->Place({.ctrl = {2}}, Actuation::kEnabled).ok());
  EXPECT_NEAR(simulation->physics().data().qacc[0], 2, 1e-9);
  ASSERT_TRUE(simulation->Place({.ctrl = {2}}, Actuation::kDisabled).ok());
  EXPECT_NEAR(simulation->physics().data().qacc[0], 0, 1e-9);
}

TEST(SimulationTest, BadPlacedStateIsRefusedByName) {
  const auto simulation = MakeSlider();
  const std::pair<const char*, PlacedState> cases[] = {{"qpos", {.qpos = {1, 2}}},
                                                       {"qvel", {.qvel = {kNan}}},
                                                       {"act", {.act = {1}}},
                                                       {"ctrl", {.ctrl = {1, 2}}},
                                                       {"target", {.target = {1, 2, 3}}}};
  for (const auto& [field, state] : cases) {
    const absl::Status status = simulation->Place(state, Actuation::kEnabled);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  }
}

// What a failed step must look like: truncated and flagged, the observation still the last one.
void ExpectFault(Simulation& simulation, double last_observation) {
  const auto result = simulation.Step(std::vector{1.0});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->unstable);
  EXPECT_TRUE(result->truncated);
  EXPECT_FALSE(result->terminated);
  EXPECT_EQ(result->reward, 0);
  EXPECT_EQ(simulation.observation()[0], last_observation);
  EXPECT_EQ(simulation.fault().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(simulation.fault().message()), HasSubstr("unstable simulation: "));
  EXPECT_EQ(simulation.Step(std::vector{1.0}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(simulation.Reset().ok());
  EXPECT_TRUE(simulation.fault().ok());
  EXPECT_FALSE(simulation.Step(std::vector{1.0})->unstable);
}

TEST(SimulationTest, NanInTheStateIsAFlaggedTruncation) {
  const auto simulation = MakeSlider();
  ASSERT_TRUE(simulation->Place({.qpos = {0.5}}, Actuation::kEnabled).ok());
  simulation->physics().data().qpos[0] = kNan;
  ExpectFault(*simulation, 0.5);
}

TEST(SimulationTest, DivergenceIsAFlaggedTruncation) {
  const auto simulation = MakeSlider();
  ASSERT_TRUE(simulation->Place({.qpos = {0.5}}, Actuation::kEnabled).ok());
  simulation->physics().data().qvel[0] = 1e11;
  ExpectFault(*simulation, 0.5);
}

// What MuJoCo does in the middle of its steps, for a test.
class DuringSteps {
 public:
  explicit DuringSteps(mjfGeneric call) { mjcb_control = call; }
  ~DuringSteps() { mjcb_control = nullptr; }
};

TEST(SimulationTest, ErrorOfMujocoInAStepIsAFlaggedTruncation) {
  const auto simulation = MakeSlider();
  ASSERT_TRUE(simulation->Place({.qpos = {0.5}}, Actuation::kEnabled).ok());
  {
    const DuringSteps fail([](const mjModel*, mjData*) { mju_error("stack overflow"); });
    const StepResult result = *simulation->Step(std::vector{1.0});
    EXPECT_TRUE(result.unstable && result.truncated && !result.terminated);
    EXPECT_EQ(result.reward, 0);
    EXPECT_EQ(simulation->observation()[0], 0.5);
    EXPECT_EQ(simulation->fault().code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(simulation->fault().message()), HasSubstr("stack overflow"));
  }
  EXPECT_TRUE(simulation->Reset().ok());
  EXPECT_FALSE(simulation->Step(std::vector{1.0})->unstable);
}

TEST(SimulationTest, AnyWarningOfMujocoIsAFlaggedTruncation) {
  static int warning;
  for (warning = 0; warning < mjNWARNING; ++warning) {
    SCOPED_TRACE(warning);
    const auto simulation = MakeSlider();
    ASSERT_TRUE(simulation->Place({.qpos = {0.5}}, Actuation::kEnabled).ok());
    const DuringSteps warn([](const mjModel*, mjData* data) { mj_warning(data, warning, 0); });
    const StepResult result = *simulation->Step(std::vector{1.0});
    EXPECT_TRUE(result.unstable && result.truncated);
    EXPECT_EQ(simulation->observation()[0], 0.5);
    EXPECT_EQ(simulation->fault().code(), absl::StatusCode::kAborted);
  }
}

class NowhereSlider final : public Slider {
 public:
  using Slider::Slider;
  absl::Status Initialize(Physics& physics, RandomState& random) override {
    if (random.Uniform() < 0.5) physics.data().qpos[0] = kNan;
    return absl::OkStatus();
  }
};

TEST(SimulationTest, StartThatIsNotFiniteIsAbortedAndMayBeTriedAgain) {
  TaskDefinition definition = SliderDefinition();
  definition.make = [](Physics& physics) { return std::make_unique<NowhereSlider>(physics); };
  const auto simulation = *Simulation::Make(definition, 1);
  int started = 0;
  for (int i = 0; i < 20; ++i) {
    const absl::Status status = simulation->Reset();
    EXPECT_TRUE(status.ok() || absl::IsAborted(status)) << status;
    EXPECT_TRUE(std::isfinite(simulation->observation()[0]));
    started += status.ok() ? 1 : 0;
  }
  EXPECT_GT(started, 0);
  EXPECT_LT(started, 20);
}

class BrokenSlider final : public Slider {
 public:
  using Slider::Slider;
  void Observe(const Physics& physics, std::vector<double>& out) const override {
    out.push_back(physics.data().time > 0.05 ? 1e300 : 0);
  }
};

TEST(SimulationTest, ObservationBeyondFloat32IsAFlaggedTruncation) {
  TaskDefinition definition = SliderDefinition();
  definition.make = [](Physics& physics) { return std::make_unique<BrokenSlider>(physics); };
  const auto simulation = *Simulation::Make(definition, 1);
  ASSERT_TRUE(simulation->Reset().ok());
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(simulation->Step(std::vector{1.0})->unstable);
  ExpectFault(*simulation, 0);
}

TEST(SimulationTest, FaultPassesThroughAllWrappers) {
  auto simulation = *MakeSimulation("cartpole-swingup", 1);
  Physics& physics = simulation->physics();
  FloatEnvironment environment(std::make_unique<ActionRepeat>(
      std::make_unique<TimeLimit>(std::make_unique<ActionScaling>(std::move(simulation))), 2));
  ASSERT_TRUE(environment.Reset().ok());
  physics.data().qvel[0] = kNan;
  const StepResult result = *environment.Step(std::vector{0.5f});
  EXPECT_TRUE(result.unstable && result.truncated);
  EXPECT_EQ(environment.fault().code(), absl::StatusCode::kAborted);
  for (const float x : environment.observation()) EXPECT_TRUE(std::isfinite(x));
  EXPECT_TRUE(environment.Reset().ok());
}

}  // namespace
}  // namespace pompc::env
