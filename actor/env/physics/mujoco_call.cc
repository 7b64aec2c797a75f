#include "actor/env/physics/mujoco_call.h"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "mujoco/mujoco.h"

namespace pompc::env {
namespace {

// The place that this thread's MuJoCo error jumps to, and the words of MuJoCo. The buffers are
// plain, so that nothing is allocated and longjmp leaves nothing behind.
struct Trap {
  std::jmp_buf* target = nullptr;
  char error[1024] = "";
  char warning[1024] = "";
};
thread_local Trap trap;

void OnError(const char* message) {
  std::snprintf(trap.error, sizeof(trap.error), "%s", message);
  if (trap.target == nullptr) {
    std::fprintf(stderr, "MuJoCo error outside of CallMujoco: %s\n", message);
    std::abort();
  }
  std::longjmp(*trap.target, 1);
}

void OnWarning(const char* message) {
  std::snprintf(trap.warning, sizeof(trap.warning), "%s", message);
}

// MuJoCo's handlers are global variables of the process, so they are installed once and find their
// thread's trap by themselves.
bool InstallHandlers() {
  mju_user_error = OnError;
  mju_user_warning = OnWarning;
  return true;
}

}  // namespace

absl::Status CallMujoco(absl::FunctionRef<void()> call) {
  static const bool installed = InstallHandlers();
  (void)installed;
  POMPC_CHECK(trap.target == nullptr, "calls of MuJoCo do not nest");
  std::jmp_buf target;
  trap.target = &target;
  if (setjmp(target) != 0) {
    trap.target = nullptr;
    return absl::InternalError(absl::StrCat("MuJoCo error: ", trap.error));
  }
  call();
  trap.target = nullptr;
  return absl::OkStatus();
}

const char* LastMujocoWarning() { return trap.warning; }

}  // namespace pompc::env
