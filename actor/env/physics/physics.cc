#include "actor/env/physics/physics.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "actor/env/physics/mujoco_call.h"
#include "common/base/threads.h"

namespace pompc::env {
namespace {

constexpr char kFileName[] = "model.xml";

// A MuJoCo virtual file system that holds one file. In old versions the structure takes two
// megabytes, which is too much for the stack.
class OneFile {
 public:
  explicit OneFile(absl::string_view content) : vfs_(std::make_unique<mjVFS>()) {
    mj_defaultVFS(vfs_.get());
    const int size = static_cast<int>(content.size());
#if mjVERSION_HEADER >= 313
    mj_addBufferVFS(vfs_.get(), kFileName, content.data(), size);
#else
    mj_makeEmptyFileVFS(vfs_.get(), kFileName, size);
    std::memcpy(vfs_->filedata[mj_findFileVFS(vfs_.get(), kFileName)], content.data(), size);
#endif
  }
  ~OneFile() { mj_deleteVFS(vfs_.get()); }
  OneFile(const OneFile&) = delete;
  OneFile& operator=(const OneFile&) = delete;

  const mjVFS* get() const { return vfs_.get(); }

 private:
  const std::unique_ptr<mjVFS> vfs_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Physics>> Physics::FromXml(absl::string_view mjcf) {
  // MuJoCo's compiler keeps its result in a global variable for mj_saveLastXML, so two threads must
  // not compile at once.
  static Mutex compiler_mu;
  MutexLock lock(&compiler_mu);
  const OneFile file(mjcf);
  char error[1024] = "";
  mjModel* model = nullptr;
  mjData* data = nullptr;
  const absl::Status compiled = CallMujoco([&] {
    model = mj_loadXML(kFileName, file.get(), error, sizeof(error));
    if (model != nullptr) data = mj_makeData(model);
  });
  ModelPtr owned_model(model);
  DataPtr owned_data(data);
  POMPC_RETURN_IF_ERROR(compiled);
  if (model == nullptr) {
    const absl::string_view words = absl::StripSuffix(error, "\n");
    return absl::InvalidArgumentError(
        absl::StrCat("not a valid MuJoCo model: ", absl::StrReplaceAll(words, {{"\n", ", "}})));
  }
  if (data == nullptr) return absl::ResourceExhaustedError("no memory for a MuJoCo simulation");
  return std::unique_ptr<Physics>(new Physics(std::move(owned_model), std::move(owned_data)));
}

// MuJoCo reports a simulation that diverges only through its counters of warnings, which
// mj_resetData clears.
absl::Status Physics::Compute(absl::FunctionRef<void()> call) {
  POMPC_RETURN_IF_ERROR(CallMujoco(call));
  for (const mjWarningStat& warning : data_->warning) {
    if (warning.number > 0) {
      return absl::AbortedError(absl::StrCat("unstable simulation: ", LastMujocoWarning()));
    }
  }
  return absl::OkStatus();
}

absl::Status Physics::Reset() {
  POMPC_RETURN_IF_ERROR(CallMujoco([this] { mj_resetData(model_.get(), data_.get()); }));
  return Forward(Actuation::kDisabled);
}

// Starts are computed without actuation, as dm_control does: an actuator that holds a position
// would push even at control 0.
absl::Status Physics::Forward(Actuation actuation) {
  const int flags = model_->opt.disableflags;
  if (actuation == Actuation::kDisabled) model_->opt.disableflags |= mjDSBL_ACTUATION;
  const absl::Status status = Compute([this] { mj_forward(model_.get(), data_.get()); });
  model_->opt.disableflags = flags;
  return status;
}

// Steps in dm_control's "legacy" order: mj_step1 leaves everything that depends on position and
// velocity up to date for reading, and the rest of that step (mj_step2) follows in the next call,
// when the new controls are known.
absl::Status Physics::Advance(int steps) {
  POMPC_CHECK_GE(steps, 1);
  return Compute([this, steps] {
    const mjModel* model = model_.get();
    mjData* data = data_.get();
    if (model->opt.integrator == mjINT_RK4) {
      // mj_step2 knows no Runge-Kutta. mj_step would compute the present state a second time, which
      // is a fifth of such a step.
      mj_forwardSkip(model, data, mjSTAGE_VEL, 0);
      mj_checkAcc(model, data);
      mj_RungeKutta(model, data, 4);
    } else {
      mj_step2(model, data);
    }
    for (int i = 1; i < steps; ++i) mj_step(model, data);
    mj_step1(model, data);
  });
}

int Physics::Id(mjtObj type, const char* name) {
  const int id = mj_name2id(model_.get(), type, name);
  if (id < 0 && lookup_status_.ok()) {
    lookup_status_ = absl::NotFoundError(
        absl::StrCat("the model has no ", mju_type2Str(type), " named \"", name, "\""));
  }
  return std::max(id, 0);
}

int Physics::SensorAddress(const char* name) {
  const int id = Id(mjOBJ_SENSOR, name);
  return id < model_->nsensor ? model_->sensor_adr[id] : 0;
}

}  // namespace pompc::env
