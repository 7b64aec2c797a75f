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
// Bounds of either side of a picture, in pixels.
inline constexpr int kMinPictureSide = 16;
inline constexpr int kMaxPictureSide = 2048;

// Draws the present state of a simulation as the model's first camera sees it or, without one, from
// where all of it is in view. Light, sky and the squares on the floor are the same for every model:
// the model's own, and its textures, are not used. Drawing changes nothing that is simulated, and
// the same state gives the same picture on the same machine.
//
// Used by one thread at a time, which blocks while it draws.
class Renderer {
 public:
  // `physics` must have been reset, and must outlive the last Draw; the sizes of buffers are
  // written into its model's visual options. Fails with INVALID_ARGUMENT if the size is out of
  // range, and with INTERNAL and MuJoCo's words if the context lacks something. REQUIRES: neither
  // pointer is null.
  static absl::StatusOr<std::unique_ptr<Renderer>> Make(std::unique_ptr<GlContext> context,
                                                        Physics* physics, const PictureSize& size);
  virtual ~Renderer() = default;

  // Returns the picture, 3 bytes (red, green, blue) for each pixel, rows from the top. It is valid
  // until the next call.
  virtual absl::StatusOr<std::span<const uint8_t>> Draw() = 0;
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_RENDER_RENDERER_H_
