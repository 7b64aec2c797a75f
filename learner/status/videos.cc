#include "learner/status/videos.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pompc::learner {
namespace {

namespace fs = std::filesystem;

// A folder of more files than this is not the few films of a run; the rest of it is not looked at.
constexpr int kMaxFiles = 1000;

constexpr std::array<std::pair<const char*, const char*>, 3> kTypes = {
    {{".mp4", "video/mp4"}, {".webm", "video/webm"}, {".gif", "image/gif"}}};

const char* TypeOf(const fs::path& path) {
  for (const auto& [extension, type] : kTypes) {
    if (path.extension() == extension) return type;
  }
  return nullptr;
}

}  // namespace

std::vector<Video> FindVideos(const std::string& run_dir) {
  std::vector<Video> videos;
  std::error_code error;
  fs::directory_iterator entry(fs::path(run_dir) / "videos", error);
  for (int i = 0; !error && entry != fs::directory_iterator() && i < kMaxFiles; ++i) {
    const char* const type = TypeOf(entry->path());
    // A file may vanish while it is looked at.
    std::error_code gone;
    if (type != nullptr && entry->is_regular_file(gone)) {
      const uint64_t bytes = entry->file_size(gone);
      const auto written = entry->last_write_time(gone).time_since_epoch().count();
      if (!gone && bytes <= kMaxVideoBytes) {
        videos.push_back({entry->path().filename().string(), entry->path().string(), bytes,
                          static_cast<int64_t>(written), type});
      }
    }
    entry.increment(error);
  }
  std::sort(videos.begin(), videos.end(), [](const Video& one, const Video& other) {
    return std::pair(other.written, one.name) < std::pair(one.written, other.name);
  });
  if (videos.size() > kMaxVideos) videos.resize(kMaxVideos);
  return videos;
}

std::string VideoPath(size_t position) { return absl::StrCat("status/video/", position); }

}  // namespace pompc::learner
