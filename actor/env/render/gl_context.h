#ifndef POMPC_ACTOR_ENV_RENDER_GL_CONTEXT_H_
#define POMPC_ACTOR_ENV_RENDER_GL_CONTEXT_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pompc::env {

// An OpenGL context that draws into memory: it needs no window and no display server, and works
// with or without a GPU. It comes from EGL, whose library is loaded when the first context is made,
// so that a program that draws nothing runs on machines without it. The library and its displays
// then stay open until the process ends.
//
// A context belongs to one thread at a time; contexts are independent of each other.
class GlContext {
 public:
  // Loads $POMPC_EGL_LIBRARY, or libEGL.so.1 if that is not set, and makes a context on the first
  // device that gives one. The context is then current in the calling thread. Fails with
  // FAILED_PRECONDITION saying what is missing and what to install.
  static absl::StatusOr<std::unique_ptr<GlContext>> Make();
  virtual ~GlContext() = default;

  // Makes this the calling thread's context. Fails with INTERNAL and EGL's error number.
  virtual absl::Status MakeCurrent() = 0;
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_RENDER_GL_CONTEXT_H_
