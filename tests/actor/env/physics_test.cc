#include "actor/env/physics/physics.h"

#include <memory>
#include <string>

#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"

namespace pompc::env {
namespace {

// A pushed mass on a spring, so that every state has its own acceleration.
std::unique_ptr<Physics> MakeSpring(const std::string& integrator) {
  constexpr char kMjcf[] = R"(
<mujoco>
  <option timestep="0.01" integrator="INTEGRATOR"/>
  <worldbody>
    <body>
      <joint name="slide" type="slide" axis="1 0 0" limited="false" stiffness="50"/>
      <geom type="sphere" size="0.1" mass="1"/>
    </body>
  </worldbody>
  <actuator>
    <motor joint="slide" ctrllimited="true" ctrlrange="-1 1"/>
  </actuator>
</mujoco>)";
  auto physics = *Physics::FromXml(absl::StrReplaceAll(kMjcf, {{"INTEGRATOR", integrator}}));
  EXPECT_TRUE(physics->Reset().ok());
  physics->data().qpos[0] = 0.1;
  EXPECT_TRUE(physics->Forward(Actuation::kDisabled).ok());
  physics->data().ctrl[0] = 0.7;
  return physics;
}

// The state is that of three plain steps, and so is the acceleration: the one of the state before
// the last of them. The position is already the new state's.
TEST(PhysicsTest, AdvanceLeavesNewPositionsAndTheLastStepsAccelerations) {
  for (const char* integrator : {"Euler", "RK4"}) {
    SCOPED_TRACE(integrator);
    const auto advanced = MakeSpring(integrator);
    ASSERT_TRUE(advanced->Advance(3).ok());
    const auto stepped = MakeSpring(integrator);
    for (int i = 0; i < 3; ++i) mj_step(&stepped->model(), &stepped->data());

    const mjData& data = advanced->data();
    EXPECT_EQ(data.qpos[0], stepped->data().qpos[0]);
    EXPECT_EQ(data.qvel[0], stepped->data().qvel[0]);
    EXPECT_EQ(data.qacc[0], stepped->data().qacc[0]);
    EXPECT_EQ(data.xpos[3], data.qpos[0]);
    EXPECT_NE(stepped->data().xpos[3], data.qpos[0]);
    mj_forward(&advanced->model(), &advanced->data());
    EXPECT_NE(data.qacc[0], stepped->data().qacc[0]);
  }
}

TEST(PhysicsTest, ForwardWithoutActuationLeavesTheModelsFlagsAlone) {
  const auto physics = MakeSpring("Euler");
  const int flags = physics->model().opt.disableflags;
  physics->data().qpos[0] = 0;
  ASSERT_TRUE(physics->Forward(Actuation::kDisabled).ok());
  EXPECT_EQ(physics->data().qacc[0], 0);
  ASSERT_TRUE(physics->Forward(Actuation::kEnabled).ok());
  EXPECT_NEAR(physics->data().qacc[0], 0.7, 1e-9);
  EXPECT_EQ(physics->model().opt.disableflags, flags);
}

TEST(PhysicsTest, FirstMissingElementIsReported) {
  const auto physics = MakeSpring("Euler");
  EXPECT_EQ(physics->Id(mjOBJ_JOINT, "slide"), 0);
  EXPECT_TRUE(physics->lookup_status().ok());
  physics->Id(mjOBJ_JOINT, "hinge");
  physics->Id(mjOBJ_BODY, "cup");
  EXPECT_EQ(physics->lookup_status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(physics->lookup_status().message(), "the model has no joint named \"hinge\"");
}

}  // namespace
}  // namespace pompc::env
