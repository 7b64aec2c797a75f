#ifndef POMPC_CLI_FILM_VIDEO_FILE_H_
#define POMPC_CLI_FILM_VIDEO_FILE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/io/child_process.h"

namespace pompc::cli {

// A video that the program ffmpeg encodes while the pictures are made. It is written beside its
// place and moved there by Close: whatever goes wrong before, nothing new is at `path`, and after
// the destructor nothing is left beside it. Used by one thread at a time.
class VideoFile {
 public:
  // INVALID_ARGUMENT naming the endings that are allowed if the path has another.
  static absl::Status CheckEnding(const std::string& path);

  // FAILED_PRECONDITION if there is no ffmpeg that runs; the system's error if nothing can be
  // written at `path`. REQUIRES: CheckEnding(path) is OK.
  static absl::StatusOr<std::unique_ptr<VideoFile>> Make(const std::string& path);
  ~VideoFile();

  // Starts ffmpeg for pictures of width x height, each shown for `picture_seconds`. REQUIRES: it is
  // called once, before Add; both sides are even; picture_seconds > 0.
  absl::Status Begin(int width, int height, double picture_seconds);
  // The next picture: 3 bytes (red, green, blue) a pixel, rows from the top. Blocks while ffmpeg is
  // behind. ABORTED with ffmpeg's exit status and last error line; DEADLINE_EXCEEDED if it hangs.
  absl::Status Add(std::span<const uint8_t> picture);
  // Ends the video and moves it to its place. Errors as Add. REQUIRES: Begin has returned OK.
  absl::Status Close();

 private:
  explicit VideoFile(const std::string& path);

  const std::string path_;
  const std::string unfinished_;
  std::unique_ptr<ChildProcess> ffmpeg_;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_FILM_VIDEO_FILE_H_
