// The compiled models against recorded parameters, field by field. Names may differ: what refers to
// an element is compared by its index.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actor/env/assets.h"
#include "actor/env/physics/physics.h"
#include "tests/actor/env/available.h"
#include "tests/actor/env/reference_data.h"

namespace pompc::env {
namespace {

using ::nlohmann::json;

// Recorded models and the tasks that load them.
const std::map<std::string, std::string>& LoadedModels() {
  static const auto* models = new std::map<std::string, std::string>{
      {"fish.xml", "fish-swim"},
      {"humanoid.xml", "humanoid-run"},
      {"quadruped_walk.xml", "quadruped-walk"},
      {"dog_walk.xml", "dog-walk"},
  };
  return *models;
}

const std::map<std::string, absl::string_view>& Models() {
  static const auto* models = new std::map<std::string, absl::string_view>{
      {"acrobot.xml", assets::kAcrobot},   {"ball_in_cup.xml", assets::kBallInCup},
      {"cartpole.xml", assets::kCartpole}, {"cheetah.xml", assets::kCheetah},
      {"finger.xml", assets::kFinger},     {"hopper.xml", assets::kHopper},
      {"pendulum.xml", assets::kPendulum}, {"reacher.xml", assets::kReacher},
      {"walker.xml", assets::kWalker},
  };
  return *models;
}

// Compares numbers of one element with the fields of its JSON object.
class Element {
 public:
  Element(const json& expected, std::string where)
      : expected_(expected), where_(std::move(where)) {}

  void Is(const char* field, double actual) const { Are(field, &actual, 1); }
  // The recorded numbers have 15 digits.
  void Are(const char* field, const double* actual, int size) const {
    ExpectNear(std::span(actual, size), expected_[field], 1e-12, absl::StrCat(where_, " ", field));
  }
  // A rotation: q and -q are the same one.
  void IsQuaternion(const char* field, const double* actual) const {
    double dot = 0;
    for (int i = 0; i < 4; ++i) dot += actual[i] * expected_[field][i].get<double>();
    EXPECT_NEAR(std::abs(dot), 1, 1e-12) << where_ << " " << field;
  }

 private:
  const json& expected_;
  const std::string where_;
};

// The index in `list` of the element called `name`.
int IndexOf(const json& list, const json& name) {
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i]["name"] == name) return static_cast<int>(i);
  }
  ADD_FAILURE() << "no element " << name;
  return -1;
}

// The list leaves out the world, which is body 0.
int BodyIndex(const json& bodies, const json& name) {
  return name == "world" ? 0 : IndexOf(bodies, name) + 1;
}

void ExpectOptions(const mjOption& option, const json& expected) {
  const Element element(expected, "option");
  element.Is("timestep", option.timestep);
  element.Is("integrator", option.integrator);
  element.Is("cone", option.cone);
  element.Is("solver", option.solver);
  element.Is("iterations", option.iterations);
  element.Is("noslip", option.noslip_iterations);
  element.Is("tolerance", option.tolerance);
  element.Is("impratio", option.impratio);
  element.Is("density", option.density);
  element.Is("viscosity", option.viscosity);
  if (!NewerMujoco()) element.Is("disableflags", option.disableflags);
  element.Is("enableflags", option.enableflags);
  element.Are("gravity", option.gravity, 3);
}

std::vector<double> Sorted(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

void ExpectBodies(const mjModel& model, const json& bodies) {
  ASSERT_EQ(model.nbody - 1, static_cast<int>(bodies.size()));
  for (int i = 1; i < model.nbody; ++i) {
    const json& expected = bodies[i - 1];
    const Element element(expected, absl::StrCat("body ", i));
    EXPECT_EQ(model.body_parentid[i], BodyIndex(bodies, expected["parent"]));
    element.Is("mass", model.body_mass[i]);
    element.Are("pos", model.body_pos + 3 * i, 3);
    element.IsQuaternion("quat", model.body_quat + 4 * i);
    element.Are("ipos", model.body_ipos + 3 * i, 3);
    // About the principal axes, whose order is the version's.
    const mjtNum* inertia = model.body_inertia + 3 * i;
    ExpectNear(Sorted({inertia, inertia + 3}), Sorted(expected["inertia"]), 1e-12,
               absl::StrCat("inertia of body ", i));
  }
}

void ExpectJoints(const mjModel& model, const json& joints, const json& bodies) {
  ASSERT_EQ(model.njnt, static_cast<int>(joints.size()));
  for (int i = 0; i < model.njnt; ++i) {
    const json& expected = joints[i];
    const Element element(expected, absl::StrCat("joint ", i));
    const int dof = model.jnt_dofadr[i];
    EXPECT_EQ(model.jnt_bodyid[i], BodyIndex(bodies, expected["body"]));
    element.Is("type", model.jnt_type[i]);
    element.Is("limited", model.jnt_limited[i]);
    element.Is("stiffness", model.jnt_stiffness[i]);
    element.Is("damping", model.dof_damping[dof]);
    element.Is("armature", model.dof_armature[dof]);
    element.Is("frictionloss", model.dof_frictionloss[dof]);
    element.Is("qpos0", model.qpos0[model.jnt_qposadr[i]]);
    element.Is("qpos_spring", model.qpos_spring[model.jnt_qposadr[i]]);
    element.Are("axis", model.jnt_axis + 3 * i, 3);
    element.Are("pos", model.jnt_pos + 3 * i, 3);
    element.Are("range", model.jnt_range + 2 * i, 2);
    element.Are("solreflimit", model.jnt_solref + mjNREF * i, mjNREF);
    element.Are("solimplimit", model.jnt_solimp + mjNIMP * i, mjNIMP);
  }
}

// Without those that are for looks alone: no mesh collides.
json WithoutMeshes(const json& geoms) {
  json rest = json::array();
  for (const json& geom : geoms) {
    if (geom["type"] != mjGEOM_MESH) {
      rest.push_back(geom);
    } else {
      EXPECT_EQ(geom["contype"], 0);
      EXPECT_EQ(geom["conaffinity"], 0);
    }
  }
  return rest;
}

void ExpectGeoms(const mjModel& model, const json& geoms, const json& bodies) {
  ASSERT_EQ(model.ngeom, static_cast<int>(geoms.size()));
  for (int i = 0; i < model.ngeom; ++i) {
    const json& expected = geoms[i];
    const Element element(expected, absl::StrCat("geom ", i));
    EXPECT_EQ(model.geom_bodyid[i], BodyIndex(bodies, expected["body"]));
    element.Is("type", model.geom_type[i]);
    element.Is("contype", model.geom_contype[i]);
    element.Is("conaffinity", model.geom_conaffinity[i]);
    element.Is("condim", model.geom_condim[i]);
    element.Are("size", model.geom_size + 3 * i, 3);
    element.Are("pos", model.geom_pos + 3 * i, 3);
    element.IsQuaternion("quat", model.geom_quat + 4 * i);
    element.Are("friction", model.geom_friction + 3 * i, 3);
    element.Are("solref", model.geom_solref + mjNREF * i, mjNREF);
    element.Are("solimp", model.geom_solimp + mjNIMP * i, mjNIMP);
  }
}

void ExpectActuators(const mjModel& model, const json& actuators, const json& joints) {
  ASSERT_EQ(model.nu, static_cast<int>(actuators.size()));
  for (int i = 0; i < model.nu; ++i) {
    const json& expected = actuators[i];
    const Element element(expected, absl::StrCat("actuator ", i));
    element.Is("trntype", model.actuator_trntype[i]);
    if (model.actuator_trntype[i] == mjTRN_JOINT) {
      EXPECT_EQ(model.actuator_trnid[2 * i], IndexOf(joints, expected["target"]));
    }
    element.Is("dyntype", model.actuator_dyntype[i]);
    element.Is("gear", model.actuator_gear[6 * i]);
    element.Are("ctrlrange", model.actuator_ctrlrange + 2 * i, 2);
    element.Are("gainprm", model.actuator_gainprm + mjNGAIN * i, 3);
    element.Are("biasprm", model.actuator_biasprm + mjNBIAS * i, 3);
    element.Are("dynprm", model.actuator_dynprm + mjNDYN * i, 1);
  }
}

void ExpectSensors(const mjModel& model, const json& sensors) {
  ASSERT_EQ(model.nsensor, static_cast<int>(sensors.size()));
  for (int i = 0; i < model.nsensor; ++i) {
    const Element element(sensors[i], absl::StrCat("sensor ", i));
    if (!NewerMujoco()) element.Is("type", model.sensor_type[i]);
    element.Is("adr", model.sensor_adr[i]);
    element.Is("dim", model.sensor_dim[i]);
  }
}

void ExpectModel(const mjModel& model, const json& expected) {
  ExpectOptions(model.opt, expected["opt"]);
  ExpectBodies(model, expected["bodies"]);
  ExpectJoints(model, expected["joints"], expected["bodies"]);
  ExpectGeoms(model, WithoutMeshes(expected["geoms"]), expected["bodies"]);
  ExpectActuators(model, expected["actuators"], expected["joints"]);
  ExpectSensors(model, expected["sensors"]);
}

using ModelFactsTest = ReferenceDataTest;

TEST_P(ModelFactsTest, OwnModelsHaveTheRecordedParameters) {
  const json facts = Load("model_facts.json");
  for (const auto& [name, mjcf] : Models()) {
    SCOPED_TRACE(name);
    auto physics = Physics::FromXml(mjcf);
    ASSERT_TRUE(physics.ok()) << physics.status();
    ExpectModel((*physics)->model(), facts.at(name));
  }
}

TEST_P(ModelFactsTest, LoadedModelsHaveTheRecordedParameters) {
  const json facts = Load("model_facts.json");
  const std::vector<std::string> available = AvailableTasks();
  for (const auto& [name, task] : LoadedModels()) {
    SCOPED_TRACE(name);
    if (!facts.contains(name)) continue;
    if (std::find(available.begin(), available.end(), task) == available.end()) continue;
    const auto simulation = *MakeSimulation(task, 1);
    ExpectModel(simulation->physics().model(), facts[name]);
  }
}

INSTANTIATE_TEST_SUITE_P(ControlSuite, ModelFactsTest, testing::ValuesIn(ReferenceFolders()),
                         ReferenceFolderName);

}  // namespace
}  // namespace pompc::env
