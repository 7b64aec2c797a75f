#ifndef POMPC_CLI_FILM_EPISODE_FILM_H_
#define POMPC_CLI_FILM_EPISODE_FILM_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "actor/env/render/renderer.h"
#include "actor/env/wrappers.h"
#include "cli/film/video_file.h"

namespace pompc::cli {

// Reads a size such as "640x480". INVALID_ARGUMENT naming what is allowed.
absl::StatusOr<env::PictureSize> ParsePictureSize(const std::string& text);

// The number of decisions, each of `decision_seconds` of simulated time, that one picture stands
// for: as few as keep the video at 60 pictures a second or fewer. REQUIRES: decision_seconds > 0.
int DecisionsPerPicture(double decision_seconds);

// Films one episode: a picture of its start, then one every so many decisions, played at the speed
// of the simulated time. Used by one thread at a time.
class EpisodeFilm {
 public:
  // Opens what filming needs before anything is played. Statuses of GlContext::Make and
  // VideoFile::Make.
  static absl::StatusOr<std::unique_ptr<EpisodeFilm>> Make(const std::string& path,
                                                           const env::PictureSize& size);

  // Takes in the episode's next state: its start, and what each decision led to. The environment
  // must live until the last call. FAILED_PRECONDITION if it cannot be drawn; statuses of Renderer
  // and VideoFile.
  absl::Status Take(env::FloatEnvironment& environment);

  // Completes the file and returns a description of it. REQUIRES: Take has returned OK once.
  absl::StatusOr<std::string> Close();

 private:
  EpisodeFilm(const std::string& path, const env::PictureSize& size,
              std::unique_ptr<env::GlContext> context, std::unique_ptr<VideoFile> video);

  absl::Status Begin(env::FloatEnvironment& environment);

  const std::string path_;
  const env::PictureSize size_;
  // Moves into the renderer with the first picture.
  std::unique_ptr<env::GlContext> context_;
  const std::unique_ptr<VideoFile> video_;
  std::unique_ptr<env::Renderer> renderer_;
  int decisions_per_picture_ = 1;
  double picture_seconds_ = 0;
  int states_ = 0;
  int pictures_ = 0;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_FILM_EPISODE_FILM_H_
