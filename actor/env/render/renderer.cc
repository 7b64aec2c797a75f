#include "actor/env/render/renderer.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actor/env/physics/mujoco_call.h"
#include "actor/env/physics/physics.h"
#include "actor/env/physics/scenery.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

constexpr int kShadowMapSide = 2048;
// Pictures are drawn at twice their size, and each pixel is the mean of four, which smooths edges.
// OpenGL's own multisampling is not used: it would not blend with the sky, which is filled in
// later.
constexpr int kOversampling = 2;
// The group that the suite's models give to geoms that collide.
constexpr int kCollisionGroup = 3;

class MujocoRenderer final : public Renderer {
 public:
  MujocoRenderer(std::unique_ptr<GlContext> context, Physics* physics, const PictureSize& size)
      : context_(std::move(context)),
        physics_(*physics),
        size_(size),
        drawn_{kOversampling * size.width, kOversampling * size.height},
        picture_(size.bytes()),
        pixels_(drawn_.bytes()),
        depths_(size_t(drawn_.width) * drawn_.height) {
    mjv_defaultOption(&option_);
    mjv_defaultCamera(&camera_);
    mjv_defaultScene(&scene_);
    mjr_defaultContext(&buffers_);
  }
  ~MujocoRenderer() override {
    if (context_->MakeCurrent().ok()) {
      CallMujoco([this] { mjr_freeContext(&buffers_); }).IgnoreError();
    }
    mjv_freeScene(&scene_);
  }

  // The order matters: MuJoCo sizes its buffers from the visual options when the context is made,
  // and Scenery writes some of them from what the camera sees, for which the scene must be filled.
  absl::Status SetUp() {
    POMPC_RETURN_IF_ERROR(context_->MakeCurrent());
    mjModel& model = physics_.model();
    model.vis.global.offwidth = drawn_.width;
    model.vis.global.offheight = drawn_.height;
    model.vis.quality.offsamples = 0;
    model.vis.quality.shadowsize = kShadowMapSide;
    if (model.ncam > 0) {
      camera_.type = mjCAMERA_FIXED;
      camera_.fixedcamid = 0;
    } else {
      mjv_defaultFreeCamera(&model, &camera_);
    }
    // Bodies whose meshes were removed are shown by the geoms that collide for them.
    option_.geomgroup[kCollisionGroup] = 1;
    POMPC_RETURN_IF_ERROR(CallMujoco(
        [&] { mjv_makeScene(&model, &scene_, 2 * model.ngeom + 1000 + Scenery::kGeoms); }));
    POMPC_RETURN_IF_ERROR(Update());
    scenery_ = Scenery(physics_.data(), scene_);
    scenery_.Prepare(model);
    POMPC_RETURN_IF_ERROR(CallMujoco([&] {
      mjr_makeContext(&model, &buffers_, mjFONTSCALE_100);
      mjr_setBuffer(mjFB_OFFSCREEN, &buffers_);
    }));
    if (buffers_.currentBuffer != mjFB_OFFSCREEN) {
      return absl::InternalError("OpenGL has no framebuffer that is not a window");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::span<const uint8_t>> Draw() override {
    POMPC_RETURN_IF_ERROR(context_->MakeCurrent());
    POMPC_RETURN_IF_ERROR(Update());
    POMPC_CHECK_LE(scene_.ngeom, scene_.maxgeom);
    scenery_.Arrange(physics_.model(), scene_);
    const mjrRect all = {0, 0, drawn_.width, drawn_.height};
    POMPC_RETURN_IF_ERROR(CallMujoco([&] {
      mjr_render(all, &scene_, &buffers_);
      mjr_readPixels(pixels_.data(), depths_.data(), all, &buffers_);
    }));
    FillPicture();
    POMPC_DCHECK_EQ(picture_.size(), size_.bytes());
    return picture_;
  }

 private:
  absl::Status Update() {
    return CallMujoco([this] {
      mjv_updateScene(&physics_.model(), &physics_.data(), &option_, /*pert=*/nullptr, &camera_,
                      mjCAT_ALL, &scene_);
    });
  }

  // OpenGL's rows begin at the bottom. A pixel whose depth is 1 was not drawn: it shows the sky.
  // The sum begins with 2, so that dividing by 4 rounds to the nearest.
  void FillPicture() {
    const int width = drawn_.width;
    for (int row = 0; row < size_.height; ++row) {
      const auto sky = Scenery::Sky(scene_, 1 - (2.0 * row + 1) / size_.height);
      uint8_t* to = picture_.data() + size_t{3} * row * size_.width;
      const size_t lower = size_t(drawn_.height - 2 - 2 * row) * width;
      for (int column = 0; column < size_.width; ++column, to += 3) {
        std::array<int, 3> sum = {2, 2, 2};
        const size_t first = lower + 2 * column;
        for (const size_t pixel : {first, first + 1, first + width, first + width + 1}) {
          const uint8_t* from = depths_[pixel] < 1 ? &pixels_[3 * pixel] : sky.data();
          for (int i = 0; i < 3; ++i) sum[i] += from[i];
        }
        for (int i = 0; i < 3; ++i) to[i] = static_cast<uint8_t>(sum[i] / 4);
      }
    }
  }

  const std::unique_ptr<GlContext> context_;
  Physics& physics_;
  const PictureSize size_;
  // The size that OpenGL draws, kOversampling times size_.
  const PictureSize drawn_;
  std::vector<uint8_t> picture_;
  std::vector<uint8_t> pixels_;
  std::vector<float> depths_;
  mjvOption option_;
  mjvCamera camera_;
  mjvScene scene_;
  mjrContext buffers_;
  Scenery scenery_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Renderer>> Renderer::Make(std::unique_ptr<GlContext> context,
                                                         Physics* physics,
                                                         const PictureSize& size) {
  if (std::min(size.width, size.height) < kMinPictureSide ||
      std::max(size.width, size.height) > kMaxPictureSide) {
    return absl::InvalidArgumentError(absl::StrCat("a picture of ", size.width, "x", size.height,
                                                   ": sides are ", kMinPictureSide, " to ",
                                                   kMaxPictureSide, " pixels"));
  }
  POMPC_CHECK(context != nullptr && physics != nullptr);
  auto renderer = std::make_unique<MujocoRenderer>(std::move(context), physics, size);
  POMPC_RETURN_IF_ERROR(renderer->SetUp());
  return renderer;
}

}  // namespace pompc::env
