#ifndef POMPC_ACTOR_ENV_PHYSICS_MUJOCO_CALL_H_
#define POMPC_ACTOR_ENV_PHYSICS_MUJOCO_CALL_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace pompc::env {

// Runs `call`, which calls MuJoCo. Returns INTERNAL with MuJoCo's own words if it raises an error,
// which would otherwise end the process. MuJoCo's warnings are kept for LastMujocoWarning instead
// of being printed and appended to a file in the working directory.
//
// Any thread may call it. REQUIRES: calls do not nest. Nothing that `call` holds while it is in
// MuJoCo may need destruction, because an error leaves `call` by longjmp. What MuJoCo was working
// on is then undefined until it is reset.
absl::Status CallMujoco(absl::FunctionRef<void()> call);

// Returns this thread's latest MuJoCo warning, valid until the thread's next CallMujoco.
const char* LastMujocoWarning();

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_MUJOCO_CALL_H_
