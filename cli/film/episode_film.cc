#include "cli/film/episode_film.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"
#include "common/values/numbers.h"

namespace pompc::cli {
namespace {

constexpr double kMaxPicturesPerSecond = 60;

// Returns nothing for what is no side of a picture. Odd numbers are none: encoders halve the
// resolution of colours.
std::optional<int> ParseSide(const std::string& text) {
  const absl::StatusOr<int> pixels =
      ParseInteger<int>(text, env::kMinPictureSide, env::kMaxPictureSide);
  if (!pixels.ok() || *pixels % 2 != 0) return std::nullopt;
  return *pixels;
}

}  // namespace

absl::StatusOr<env::PictureSize> ParsePictureSize(const std::string& text) {
  const std::vector<std::string> sides = absl::StrSplit(text, 'x');
  if (sides.size() == 2) {
    const std::optional<int> width = ParseSide(sides[0]);
    const std::optional<int> height = ParseSide(sides[1]);
    if (width.has_value() && height.has_value()) return env::PictureSize{*width, *height};
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text,
      "\" is not a picture size; allowed: WIDTHxHEIGHT, each an even number of pixels from ",
      env::kMinPictureSide, " to ", env::kMaxPictureSide, ", such as 640x480"));
}

int DecisionsPerPicture(double decision_seconds) {
  POMPC_CHECK_GT(decision_seconds, 0);
  // 1/60 has no exact binary form; without the margin, decisions of that length would need two
  // each.
  return std::max(
      1, static_cast<int>(std::ceil(1 / (kMaxPicturesPerSecond * decision_seconds) - 1e-9)));
}

absl::StatusOr<std::unique_ptr<EpisodeFilm>> EpisodeFilm::Make(const std::string& path,
                                                               const env::PictureSize& size) {
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<env::GlContext> context, env::GlContext::Make());
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<VideoFile> video, VideoFile::Make(path));
  return std::unique_ptr<EpisodeFilm>(
      new EpisodeFilm(path, size, std::move(context), std::move(video)));
}

EpisodeFilm::EpisodeFilm(const std::string& path, const env::PictureSize& size,
                         std::unique_ptr<env::GlContext> context, std::unique_ptr<VideoFile> video)
    : path_(path), size_(size), context_(std::move(context)), video_(std::move(video)) {}

absl::Status EpisodeFilm::Begin(env::FloatEnvironment& environment) {
  env::Physics* const world = environment.world();
  if (world == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(environment.spec().task, " cannot be drawn: it is not simulated by MuJoCo"));
  }
  POMPC_ASSIGN_OR_RETURN(renderer_, env::Renderer::Make(std::move(context_), world, size_));
  const double decision_seconds = environment.spec().step_seconds;
  decisions_per_picture_ = DecisionsPerPicture(decision_seconds);
  picture_seconds_ = decisions_per_picture_ * decision_seconds;
  return video_->Begin(size_.width, size_.height, picture_seconds_);
}

absl::Status EpisodeFilm::Take(env::FloatEnvironment& environment) {
  // The first environment that is shown determines what is drawn and how fast decisions follow each
  // other.
  if (renderer_ == nullptr) POMPC_RETURN_IF_ERROR(Begin(environment));
  if (states_++ % decisions_per_picture_ != 0) return absl::OkStatus();
  POMPC_ASSIGN_OR_RETURN(const std::span<const uint8_t> picture, renderer_->Draw());
  ++pictures_;
  return video_->Add(picture);
}

absl::StatusOr<std::string> EpisodeFilm::Close() {
  POMPC_CHECK_GT(pictures_, 0);
  // The renderer holds the OpenGL context of this thread.
  renderer_ = nullptr;
  POMPC_RETURN_IF_ERROR(video_->Close());
  return absl::StrFormat("%s: %d pictures of %dx%d, %.4g a second", path_, pictures_, size_.width,
                         size_.height, 1 / picture_seconds_);
}

}  // namespace pompc::cli
