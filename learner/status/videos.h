#ifndef POMPC_LEARNER_STATUS_VIDEOS_H_
#define POMPC_LEARNER_STATUS_VIDEOS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace pompc::learner {

// The videos that the status page shows.
inline constexpr size_t kMaxVideos = 4;
inline constexpr uint64_t kMaxVideoBytes = uint64_t{32} << 20;

// A film in a run directory.
struct Video {
  // Its name in the folder; any bytes.
  std::string name;
  std::string path;
  uint64_t bytes = 0;
  // When it was written, as a number that differs between versions of the file.
  int64_t written = 0;
  // "video/mp4".
  std::string content_type;
};

// Returns the newest kMaxVideos of the .mp4, .webm and .gif files in RUN_DIR/videos, newest first.
// None are larger than kMaxVideoBytes. There are none where the folder cannot be read.
std::vector<Video> FindVideos(const std::string& run_dir);

// The address of the video at this position of that list, "status/video/0", relative to the page's.
std::string VideoPath(size_t position);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_STATUS_VIDEOS_H_
