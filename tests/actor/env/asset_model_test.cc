// Models that are loaded from a folder, here a small one made by each test.
#include "actor/env/physics/asset_model.h"

#include <chrono>
#include <cstdlib>
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

const AssetModel kEdited = {.file = "model.xml",
                            .sizes = {2, 1, 0},
                            .removed = {{"body", "ball"}, {"geom", "terrain"}},
                            .set = {{{"geom", "floor"}, "size", "7 8 .5"}}};

// A tetrahedron, as binary STL.
std::string Tetrahedron(float size) {
  const float corners[4][3] = {{0, 0, 0}, {size, 0, 0}, {0, size, 0}, {0, 0, size}};
  const int faces[4][3] = {{0, 2, 1}, {0, 1, 3}, {0, 3, 2}, {1, 2, 3}};
  std::string stl(80, ' ');
  const uint32_t count = 4;
  stl.append(reinterpret_cast<const char*>(&count), sizeof(count));
  for (const auto& face : faces) {
    stl.append(12, '\0');
    for (const int corner : face) {
      stl.append(reinterpret_cast<const char*>(corners[corner]), sizeof(corners[corner]));
    }
    stl.append(2, '\0');
  }
  return stl;
}

class AssetModelTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    Write("model.xml", kModel);
    Write("common/looks.xml", kLooks);
    Write("meshes/bone.stl", Tetrahedron(0.2f));
    // Caches of these models are their test's own.
    setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);
  }
  void TearDown() override {
    unsetenv("XDG_CACHE_HOME");
    fs::remove_all(folder_);
  }

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
              physics.Id(mjOBJ_BODY, "hand");
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

TEST_F(AssetModelTest, MeshFreeModelHasTheInertiasOfTheOneWithMeshes) {
  const auto physics = Load();
  ASSERT_NE(physics, nullptr);
  char error[1000] = "";
  const std::unique_ptr<mjModel, void (*)(mjModel*)> original(
      mj_loadXML((folder_ / "model.xml").c_str(), nullptr, error, sizeof(error)), mj_deleteModel);
  ASSERT_NE(original, nullptr) << error;
  for (const char* name : {"arm", "hand"}) {
    SCOPED_TRACE(name);
    const int mine = mj_name2id(&physics->model(), mjOBJ_BODY, name);
    const int other = mj_name2id(original.get(), mjOBJ_BODY, name);
    EXPECT_GT(original->body_mass[other], 1);
    EXPECT_NEAR(physics->model().body_mass[mine], original->body_mass[other], 1e-13);
    for (int i = 0; i < 3; ++i) {
      EXPECT_NEAR(physics->model().body_ipos[3 * mine + i], original->body_ipos[3 * other + i],
                  1e-14);
      EXPECT_NEAR(physics->model().body_inertia[3 * mine + i],
                  original->body_inertia[3 * other + i], 1e-14);
    }
    for (int i = 0; i < 4; ++i) {
      EXPECT_NEAR(physics->model().body_iquat[4 * mine + i], original->body_iquat[4 * other + i],
                  1e-14);
    }
  }
}

std::vector<fs::path> FilesBelow(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  return files;
}

// The sizes are no other test's, because a process knows what it has made.
TEST_F(AssetModelTest, CacheCountsForTheSameMeshesOnly) {
  Write("meshes/bone.stl", Tetrahedron(0.21f));
  const auto small = Load();
  ASSERT_NE(small, nullptr);
  const std::vector<fs::path> cached = FilesBelow(folder_ / "cache");
  ASSERT_EQ(cached.size(), 1u);
  Write("meshes/bone.stl", Tetrahedron(0.42f));
  // Newer MuJoCo keeps what it read of a file until that has another time, in whole seconds.
  const fs::path mesh = folder_ / "meshes/bone.stl";
  fs::last_write_time(mesh, fs::last_write_time(mesh) + std::chrono::minutes(1));
  const auto large = Load();
  ASSERT_NE(large, nullptr);
  EXPECT_GT(large->model().body_mass[2], 7 * small->model().body_mass[2]);
  EXPECT_EQ(FilesBelow(folder_ / "cache").size(), 2u);
}

TEST_F(AssetModelTest, DamagedCacheIsMadeAnew) {
  // Made by another process, so that this one does not know the model yet.
  Write("meshes/bone.stl", Tetrahedron(0.31f));
  EXPECT_EXIT(std::exit(Load() == nullptr ? 1 : 0), testing::ExitedWithCode(0), "");
  const std::vector<fs::path> cached = FilesBelow(folder_ / "cache");
  ASSERT_EQ(cached.size(), 1u);
  const auto size = fs::file_size(cached[0]);
  fs::resize_file(cached[0], size / 2);
  EXPECT_NE(Load(), nullptr);
  EXPECT_EQ(fs::file_size(cached[0]), size);
}

TEST_F(AssetModelTest, CacheThatCannotBeWrittenIsDoneWithout) {
  Write("meshes/bone.stl", Tetrahedron(0.32f));
  Write("cache", "a file");
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
  Replace("body name=\"hand\"", "body name=\"foot\"");
  ExpectRefused(absl::StatusCode::kNotFound, "no body named \"hand\"");
}

TEST_F(AssetModelTest, IncludedFilesAreThoseOfTheFolder) {
  fs::remove(folder_ / "common/looks.xml");
  ExpectRefused(absl::StatusCode::kNotFound, "looks.xml");
  Replace("./common/looks.xml", "../looks.xml");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "outside of the folder");
  Replace("./common/looks.xml", "/etc/passwd");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "outside of the folder");
}

TEST_F(AssetModelTest, BadMeshIsRefusedByName) {
  fs::remove(folder_ / "meshes/bone.stl");
  ExpectRefused(absl::StatusCode::kNotFound, "bone.stl");
  for (const size_t size : {0u, 10u, 83u, 84u, 100u, 283u}) {
    SCOPED_TRACE(size);
    Write("meshes/bone.stl", Tetrahedron(0.2f).substr(0, size));
    ExpectRefused(absl::StatusCode::kInvalidArgument, "bone");
  }
}

TEST_F(AssetModelTest, MeshThatDoesMoreThanLookIsRefused) {
  Replace("pos=\".1 .2 .3\" contype=\"0\"", "pos=\".1 .2 .3\" contype=\"1\"");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "collides");
  Replace("type=\"mesh\" mesh=\"bone\" pos", "type=\"box\" mesh=\"bone\" pos");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "fitted to a mesh");
}

}  // namespace
}  // namespace pompc::env
