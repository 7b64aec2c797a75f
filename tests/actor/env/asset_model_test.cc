// Models that are loaded from a folder, here a small one made by each test.
#include "actor/env/physics/asset_model.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "actor/env/simulation.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::env {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kModel[] = R"(<mujoco model="test">
  <compiler meshdir="meshes"/>
  <include file="./common/looks.xml"/>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" width="8" height="8"/>
    <hfield name="terrain" ncol="2" nrow="2" size="1 1 1 .1"/>
    <mesh name="bone" file="bone.stl"/>
  </asset>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 1" material="grid"/>
    <geom name="terrain" type="hfield" hfield="terrain"/>
    <body name="arm" pos="0 0 1">
      <joint name="hinge" axis="0 1 0" limited="false"/>
      <geom name="arm" type="capsule" fromto="0 0 0 .3 0 0" size=".05" material="grid"/>
      <geom name="bone" type="mesh" mesh="bone" pos=".1 .2 .3" contype="0" conaffinity="0"/>
      <body name="hand" pos=".3 0 0" euler="10 20 30">
        <joint name="wrist" axis="0 0 1" limited="false"/>
        <geom type="mesh" mesh="bone" contype="0" conaffinity="0"/>
      </body>
    </body>
    <body name="ball"><freejoint/><geom size=".1"/></body>
  </worldbody>
  <actuator>
    <motor joint="hinge" ctrllimited="true" ctrlrange="-1 1"/>
  </actuator>
</mujoco>)";

// Has a texture, and a material that needs it.
constexpr char kLooks[] = R"(<mujoco>
  <asset>
    <texture name="grid" type="2d" builtin="checker" width="8" height="8"/>
    <material name="grid" texture="grid" rgba=".1 .2 .3 1"/>
  </asset>
</mujoco>)";

// The inertials of the bodies that have meshes.
constexpr char kInertials[] = R"(<inertials>
  <body name="arm" mass="1.25" pos=".1 .2 .3" quat=".6 .8 0 0" diaginertia=".3 .2 .25"/>
  <body name="hand" mass=".5" pos="0 0 .1" quat="1 0 0 0" diaginertia=".1 .1 .1"/>
</inertials>)";

const AssetModel kEdited = {.file = "model.xml",
                            .sizes = {2, 1, 0},
                            .removed = {{"body", "ball"}, {"geom", "terrain"}},
                            .set = {{{"geom", "floor"}, "size", "7 8 .5"}},
                            .inertials = kInertials};

class AssetModelTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    Write("model.xml", kModel);
    Write("common/looks.xml", kLooks);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void Write(const std::string& name, const std::string& content) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << content;
  }
  void Replace(const std::string& from, const std::string& to) {
    std::string model = kModel;
    ASSERT_NE(model.find(from), std::string::npos) << from;
    Write("model.xml", model.replace(model.find(from), from.size(), to));
  }
  std::unique_ptr<Physics> Load() {
    const auto mjcf = LoadAssetModel(kEdited, folder_.string());
    EXPECT_TRUE(mjcf.ok()) << mjcf.status();
    if (!mjcf.ok()) return nullptr;
    auto physics = Physics::FromXml(*mjcf);
    EXPECT_TRUE(physics.ok()) << physics.status();
    return physics.ok() ? *std::move(physics) : nullptr;
  }
  static TaskDefinition ArmTest() {
    return {.name = "arm-test",
            .control_seconds = 0.02,
            .episode_seconds = 1,
            .make = [](Physics& physics) -> std::unique_ptr<Task> {
              physics.Id(mjOBJ_JOINT, "wrist");
              return std::make_unique<Nothing>();
            },
            .asset = kEdited};
  }
  // What a user reads: file, what is wrong with it, what to do.
  void ExpectRefused(absl::StatusCode code, const std::string& problem) {
    const absl::Status status = Simulation::Make(ArmTest(), 1, folder_.string()).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(
        std::string(status.message()),
        AllOf(HasSubstr("arm-test: "), HasSubstr("model.xml"), HasSubstr(folder_.string()),
              HasSubstr(problem), HasSubstr("fetch-control-suite.sh"), Not(HasSubstr("\n"))));
  }

  class Nothing : public Task {
    absl::Status Initialize(Physics& physics, RandomState& random) override {
      return absl::OkStatus();
    }
    void Observe(const Physics& physics, std::vector<double>& out) const override {}
    double Reward(const Physics& physics) const override { return 0; }
  };

  fs::path folder_;
};

TEST_F(AssetModelTest, EditsAreMadeAndNoFileIsReferredTo) {
  const auto physics = Load();
  ASSERT_NE(physics, nullptr);
  mjModel& model = physics->model();
  EXPECT_EQ(mj_name2id(&model, mjOBJ_BODY, "ball"), -1);
  EXPECT_EQ(mj_name2id(&model, mjOBJ_GEOM, "terrain"), -1);
  const int floor = mj_name2id(&model, mjOBJ_GEOM, "floor");
  EXPECT_EQ(model.geom_size[3 * floor], 7);
  EXPECT_EQ(model.geom_size[3 * floor + 1], 8);
  EXPECT_EQ(model.nmesh, 0);
  EXPECT_EQ(model.nhfield, 0);
}

TEST_F(AssetModelTest, ColoursStayAndTexturesGo) {
  const auto physics = Load();
  ASSERT_NE(physics, nullptr);
  EXPECT_EQ(physics->model().ntex, 0);
  ASSERT_EQ(physics->model().nmat, 1);
  EXPECT_FLOAT_EQ(physics->model().mat_rgba[2], 0.3f);
}

// Whatever MuJoCo would make of the meshes, whose file is not even there.
TEST_F(AssetModelTest, MeshFreeModelHasTheGivenInertias) {
  const auto physics = Load();
  ASSERT_NE(physics, nullptr);
  const mjModel& model = physics->model();
  const int arm = mj_name2id(&model, mjOBJ_BODY, "arm");
  const int hand = mj_name2id(&model, mjOBJ_BODY, "hand");
  EXPECT_EQ(model.body_mass[arm], 1.25);
  EXPECT_EQ(model.body_mass[hand], 0.5);
  const auto numbers = [](const mjtNum* of, int body, int size) {
    return std::vector<double>(of + size * body, of + size * (body + 1));
  };
  EXPECT_THAT(numbers(model.body_ipos, arm, 3), ElementsAre(0.1, 0.2, 0.3));
  EXPECT_THAT(numbers(model.body_inertia, arm, 3), ElementsAre(0.3, 0.2, 0.25));
  EXPECT_THAT(numbers(model.body_iquat, arm, 4), ElementsAre(DoubleEq(0.6), DoubleEq(0.8), 0, 0));
  EXPECT_EQ(model.ngeom, 2) << "the floor and the arm's own shape";
}

TEST_F(AssetModelTest, InertiasOfOtherBodiesAreRefused) {
  Replace("name=\"arm\" pos", "name=\"leg\" pos");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "no body named \"arm\"");
  Replace("<joint name=\"hinge\"",
          "<inertial pos=\"0 0 0\" mass=\"1\" diaginertia=\"1 1 1\"/><joint name=\"hinge\"");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "body \"arm\" has an inertial of its own");
  Replace("<body name=\"ball\"><freejoint/>",
          "<body name=\"ball\"/><body name=\"tail\"><freejoint/><geom type=\"mesh\" mesh=\"bone\" "
          "contype=\"0\" conaffinity=\"0\"/>");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "body \"tail\" weighs what its meshes weigh");
}

TEST_F(AssetModelTest, MeshWithoutANameHasThatOfItsFile) {
  Replace("<mesh name=\"bone\"", "<mesh");
  EXPECT_NE(Load(), nullptr);
}

TEST_F(AssetModelTest, MissingFolderSaysHowToGetIt) {
  fs::remove_all(folder_);
  ExpectRefused(absl::StatusCode::kNotFound, "there is no model.xml in ");
}

TEST_F(AssetModelTest, TextThatIsNoModelIsRefused) {
  Write("model.xml", std::string(kModel).substr(0, 500));
  ExpectRefused(absl::StatusCode::kInvalidArgument, "is not XML");
  Write("model.xml", "");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "is not XML");
  Write("model.xml", "<robot/>");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "<mujoco>");
}

TEST_F(AssetModelTest, ModelThatMujocoRejectsIsRefusedWithItsWords) {
  Replace("type=\"capsule\"", "type=\"pretzel\"");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "invalid keyword: 'pretzel'");
}

TEST_F(AssetModelTest, WhatIsNoTextIsNotPrinted) {
  Replace("type=\"capsule\"", "type=\"pre\xbf\x01zel\"");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "'pre??zel'");
}

// Whatever became of a file, there is an error that names it, or a model.
TEST_F(AssetModelTest, DamagedFilesAreRefusedByNameOrWork) {
  constexpr uint32_t kSeed = 1;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    const bool includes = i % 4 == 0;
    std::string text = includes ? kLooks : kModel;
    if (i % 3 == 0) {
      text.resize(random() % text.size());
    } else {
      for (int damage = 0; damage < 3; ++damage) {
        text[random() % text.size()] = static_cast<char>(random());
      }
    }
    SCOPED_TRACE(text);
    Write("model.xml", includes ? std::string(kModel) : text);
    Write("common/looks.xml", includes ? text : std::string(kLooks));
    const absl::Status status = Simulation::Make(ArmTest(), 1, folder_.string()).status();
    if (status.ok()) continue;
    ++refused;
    EXPECT_THAT(std::string(status.message()), HasSubstr("model.xml"));
    for (const char c : status.message()) ASSERT_TRUE(absl::ascii_isprint(c)) << status;
  }
  EXPECT_GT(refused, 100);
  EXPECT_LT(refused, 300);
}

TEST_F(AssetModelTest, ModelOfAnotherKindIsRefused) {
  Replace("name=\"terrain\" type", "name=\"hill\" type");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "no geom named \"terrain\"");
  Replace("<joint name=\"wrist\" axis=\"0 0 1\" limited=\"false\"/>", "");
  ExpectRefused(
      absl::StatusCode::kInvalidArgument,
      "has 1 positions, 1 actuators and 0 sensor numbers; the suite's model has 2 positions");
  Replace("joint name=\"wrist\"", "joint name=\"ankle\"");
  ExpectRefused(absl::StatusCode::kNotFound, "no joint named \"wrist\"");
}

TEST_F(AssetModelTest, IncludedFilesAreThoseOfTheFolder) {
  fs::remove(folder_ / "common/looks.xml");
  ExpectRefused(absl::StatusCode::kNotFound, "looks.xml");
  Replace("./common/looks.xml", "../looks.xml");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "outside of the folder");
  Replace("./common/looks.xml", "/etc/passwd");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "outside of the folder");
}

TEST_F(AssetModelTest, MeshThatDoesMoreThanLookIsRefused) {
  Replace("pos=\".1 .2 .3\" contype=\"0\"", "pos=\".1 .2 .3\" contype=\"1\"");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "collides");
  Replace("type=\"mesh\" mesh=\"bone\" pos", "type=\"box\" mesh=\"bone\" pos");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "fitted to a mesh");
}

}  // namespace
}  // namespace pompc::env
