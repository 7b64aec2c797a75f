#ifndef POMPC_ACTOR_ENV_RENDER_GL_CONTEXT_H_
#define POMPC_ACTOR_ENV_RENDER_GL_CONTEXT_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pompc::env {

// An OpenGL context that draws into memory alone: no window, no display server, with or without a
// GPU. It comes from EGL, whose library is loaded when the first context is made: a program that
// draws nothing runs where there is none. The library and its displays then stay open until the
// process ends.
//
// Belongs to one thread at a time; contexts are independent of each other.
class GlContext {
 public:
  // Loads $POMPC_EGL_LIBRARY, or libEGL.so.1, and makes a context, current in the calling thread,
  // on the first device that gives one. FAILED_PRECONDITION saying what is missing and what to
  // install.
  static absl::StatusOr<std::unique_ptr<GlContext>> Make();
  virtual ~GlContext() = default;

  // Makes it the calling thread's context. INTERNAL with EGL's error.
  virtual absl::Status MakeCurrent() = 0;
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_RENDER_GL_CONTEXT_H_
