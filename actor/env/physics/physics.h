#ifndef POMPC_ACTOR_ENV_PHYSICS_PHYSICS_H_
#define POMPC_ACTOR_ENV_PHYSICS_PHYSICS_H_

#include <memory>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "mujoco/mujoco.h"

namespace pompc::env {

// Entries of a body's row-major rotation matrix: kXz is the world x coordinate of the body's z
// axis.
enum MatrixEntry { kXx, kXy, kXz, kYx, kYy, kYz, kZx, kZy, kZz };

enum Axis { kX, kY, kZ };

enum class Actuation { kEnabled, kDisabled };

// A MuJoCo model and its state, stepped as dm_control steps them. Owns both; the model is this
// object's alone, so tasks may edit it. Used by one thread at a time; nothing blocks.
//
// Methods that compute return ABORTED if MuJoCo warned since the last Reset (a diverging
// simulation, a full contact buffer) and INTERNAL if it raised an error; the state is then to be
// thrown away by Reset.
class Physics {
 public:
  // Compiles the model in `mjcf`, which refers to no other files. INVALID_ARGUMENT with MuJoCo's
  // words, on one line, if it is not a valid model.
  static absl::StatusOr<std::unique_ptr<Physics>> FromXml(absl::string_view mjcf);

  // To the model's default state, everything computed with actuation disabled.
  absl::Status Reset();

  // Computes all that follows from the state.
  absl::Status Forward(Actuation actuation);

  // One control step of `steps` physics steps under data()->ctrl. Positions and velocities then
  // belong to the new state; accelerations, forces and their sensors to the state before the last
  // physics step.
  absl::Status Advance(int steps);

  mjModel& model() { return *model_; }
  const mjModel& model() const { return *model_; }
  mjData& data() { return *data_; }
  const mjData& data() const { return *data_; }

  // The index of the model's element `name` of type `type`; 0 if there is none, which
  // lookup_status() then reports. For task constructors.
  int Id(mjtObj type, const char* name);
  // Where the numbers of the sensor `name` begin in sensordata; as Id.
  int SensorAddress(const char* name);
  // NOT_FOUND naming the first element that was not found.
  const absl::Status& lookup_status() const { return lookup_status_; }

  std::span<const double> qpos() const { return {data_->qpos, static_cast<size_t>(model_->nq)}; }
  std::span<const double> qvel() const { return {data_->qvel, static_cast<size_t>(model_->nv)}; }
  std::span<const double> ctrl() const { return {data_->ctrl, static_cast<size_t>(model_->nu)}; }
  double xpos(int body, Axis axis) const { return data_->xpos[3 * body + axis]; }
  double xmat(int body, MatrixEntry entry) const { return data_->xmat[9 * body + entry]; }
  double sensor(int address) const { return data_->sensordata[address]; }

 private:
  struct Deleter {
    void operator()(mjModel* model) const { mj_deleteModel(model); }
    void operator()(mjData* data) const { mj_deleteData(data); }
  };
  using ModelPtr = std::unique_ptr<mjModel, Deleter>;
  using DataPtr = std::unique_ptr<mjData, Deleter>;

  Physics(ModelPtr model, DataPtr data) : model_(std::move(model)), data_(std::move(data)) {}
  absl::Status Compute(absl::FunctionRef<void()> call);

  const ModelPtr model_;
  const DataPtr data_;
  absl::Status lookup_status_;
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_PHYSICS_H_
