#ifndef POMPC_ACTOR_ENV_PHYSICS_PHYSICS_H_
#define POMPC_ACTOR_ENV_PHYSICS_PHYSICS_H_

#include <memory>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/check.h"
#include "mujoco/mujoco.h"

namespace pompc::env {

// Writes to `out` the three numbers of `vector` as seen in a frame: R^T v, with R the frame's
// orientation `rotation`, row-major. MuJoCo's own function has another name from version 3 on.
// REQUIRES: `out` and `vector` do not overlap.
inline void InFrame(mjtNum* out, const mjtNum* vector, const mjtNum* rotation) {
  POMPC_DCHECK(out + 3 <= vector || vector + 3 <= out);
  for (int i = 0; i < 3; ++i) {
    out[i] = rotation[i] * vector[0] + rotation[3 + i] * vector[1] + rotation[6 + i] * vector[2];
  }
}

// Entries of a body's row-major rotation matrix: kXz is the world x coordinate of the body's z
// axis.
enum MatrixEntry { kXx, kXy, kXz, kYx, kYy, kYz, kZx, kZy, kZz };

enum Axis { kX, kY, kZ };

enum class Actuation { kEnabled, kDisabled };

// A MuJoCo model and its state, stepped as dm_control steps them. Owns both; the model is this
// object's alone, so tasks may edit it. Used by one thread at a time; nothing blocks.
//
// Methods that compute return ABORTED if MuJoCo warned since the last Reset (a diverging
// simulation, a full contact buffer) and INTERNAL if it raised an error. After either, only Reset
// makes the state usable again.
class Physics {
 public:
  // Compiles the model in `mjcf`, which refers to no other files. INVALID_ARGUMENT with MuJoCo's
  // words, on one line, if it is not a valid model.
  static absl::StatusOr<std::unique_ptr<Physics>> FromXml(absl::string_view mjcf);

  // Puts the model into its default state and computes all that follows from it, with actuation
  // disabled.
  absl::Status Reset();

  // Computes all that follows from the state.
  absl::Status Forward(Actuation actuation);

  // Makes one control step of `steps` physics steps under data().ctrl. Positions and velocities
  // then belong to the new state; accelerations, forces and their sensors to the state before the
  // last physics step. REQUIRES: steps >= 1.
  absl::Status Advance(int steps);

  mjModel& model() { return *model_; }
  const mjModel& model() const { return *model_; }
  mjData& data() { return *data_; }
  const mjData& data() const { return *data_; }

  // Returns the index of the model's element `name` of type `type`, for the constructors of tasks.
  // It is 0 if there is none, which lookup_status() then reports.
  int Id(mjtObj type, const char* name);
  // Returns where the numbers of the sensor `name` begin in sensordata, or 0 as Id does.
  int SensorAddress(const char* name);
  // NOT_FOUND naming the first element that was not found.
  const absl::Status& lookup_status() const { return lookup_status_; }

  std::span<const double> qpos() const { return {data_->qpos, static_cast<size_t>(model_->nq)}; }
  std::span<const double> qvel() const { return {data_->qvel, static_cast<size_t>(model_->nv)}; }
  std::span<const double> ctrl() const { return {data_->ctrl, static_cast<size_t>(model_->nu)}; }
  // Position and orientation of a body. REQUIRES: `body` is an index of the model.
  double xpos(int body, Axis axis) const {
    POMPC_DCHECK(body >= 0 && body < model_->nbody);
    return data_->xpos[3 * body + axis];
  }
  double xmat(int body, MatrixEntry entry) const {
    POMPC_DCHECK(body >= 0 && body < model_->nbody);
    return data_->xmat[9 * body + entry];
  }
  // Numbers of sensors. REQUIRES: they lie within sensordata.
  double sensor(int address) const {
    POMPC_DCHECK(address >= 0 && address < model_->nsensordata);
    return data_->sensordata[address];
  }
  std::span<const double> sensor3(int address) const {
    POMPC_DCHECK(address >= 0 && address + 3 <= model_->nsensordata);
    return {data_->sensordata + address, 3};
  }

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
