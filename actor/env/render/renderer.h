#ifndef POMPC_ACTOR_ENV_RENDER_RENDERER_H_
#define POMPC_ACTOR_ENV_RENDER_RENDERER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "actor/env/render/gl_context.h"

namespace pompc::env {

class Physics;

struct PictureSize {
  int width = 640;
  int height = 480;

  size_t bytes() const { return size_t{3} * width * height; }
};
// Of either side.
inline constexpr int kMinPictureSide = 16;
inline constexpr int kMaxPictureSide = 2048;

// Draws the present state of a simulation, seen by the model's first camera or, without one, from
// where all of it is in view. Light, sky and the squares on the floor are the same for every model:
// what the model says about them, and textures, are not used. Drawing changes nothing that is
// simulated; the same state gives the same picture on the same machine.
//
// Used by one thread at a time, which it blocks while it draws.
class Renderer {
 public:
  // `physics` must have been reset and outlive the last Draw; the sizes of buffers are written into
  // its model's visual options. INVALID_ARGUMENT if the size is out of range; INTERNAL with
  // MuJoCo's words if the context is not good enough.
  static absl::StatusOr<std::unique_ptr<Renderer>> Make(std::unique_ptr<GlContext> context,
                                                        Physics* physics, const PictureSize& size);
  virtual ~Renderer() = default;

  // The picture, 3 bytes (red, green, blue) a pixel, rows from the top; valid until the next call.
  virtual absl::StatusOr<std::span<const uint8_t>> Draw() = 0;
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_RENDER_RENDERER_H_
