#include "cli/film/video_file.h"

#include <array>
#include <cmath>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/io/files.h"

namespace pompc::cli {
namespace {

// What ffmpeg needs to be told of each file format.
struct Format {
  absl::string_view ending;
  absl::string_view muxer;
  std::vector<std::string> encoder;
};

const std::vector<Format>& Formats() {
  static const auto* formats = [] {
    const std::vector<std::string> h264 = {"-c:v", "libx264", "-preset",  "veryfast",
                                           "-crf", "18",      "-pix_fmt", "yuv420p"};
    std::vector<std::string> streamed = h264;
    // Players can begin before they have all of it.
    streamed.insert(streamed.end(), {"-movflags", "+faststart"});
    return new std::vector<Format>{
        {".mp4", "mp4", streamed},
        {".mkv", "matroska", h264},
        {".webm",
         "webm",
         {"-c:v", "libvpx-vp9", "-crf", "30", "-b:v", "0", "-deadline", "realtime", "-pix_fmt",
          "yuv420p"}},
        // A palette for each picture: one for all would need all pictures in memory.
        {".gif",
         "gif",
         {"-vf", "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"}},
    };
  }();
  return *formats;
}

// Null if there is none.
const Format* FormatOf(const std::string& path) {
  const std::string ending = std::filesystem::path(path).extension();
  for (const Format& format : Formats()) {
    if (format.ending == ending) return &format;
  }
  return nullptr;
}

// Longer than any picture takes to encode; ffmpeg writes the whole of an .mp4 again at its end.
constexpr absl::Duration kPatience = absl::Minutes(2);

}  // namespace

absl::Status VideoFile::CheckEnding(const std::string& path) {
  if (FormatOf(path) != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": not the ending of a video; allowed: ",
                   absl::StrJoin(Formats(), ", ", [](std::string* out, const Format& format) {
                     absl::StrAppend(out, format.ending);
                   })));
}

absl::StatusOr<std::unique_ptr<VideoFile>> VideoFile::Make(const std::string& path) {
  POMPC_CHECK_OK(CheckEnding(path));
  // Two things are checked before any episode is played: that ffmpeg runs, and that the file can be
  // written.
  auto ffmpeg = ChildProcess::Start({"ffmpeg", "-version"}, kPatience);
  const absl::Status status = ffmpeg.ok() ? (*ffmpeg)->Finish() : ffmpeg.status();
  if (!status.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("videos are encoded by the program ffmpeg: ", status.message(),
                     "; install it (on Debian: apt-get install ffmpeg)"));
  }
  std::unique_ptr<VideoFile> video(new VideoFile(path));
  POMPC_RETURN_IF_ERROR(WriteFileAtomically(video->unfinished_, ""));
  return video;
}

VideoFile::VideoFile(const std::string& path)
    : path_(path), unfinished_(absl::StrCat(path, kTemporarySuffix)) {}

VideoFile::~VideoFile() {
  // The process ends first, as it writes the file that is removed.
  ffmpeg_ = nullptr;
  RemoveAll(unfinished_).IgnoreError();
}

absl::Status VideoFile::Begin(int width, int height, double picture_seconds) {
  POMPC_CHECK(ffmpeg_ == nullptr, "Begin is called once");
  POMPC_CHECK(width > 0 && height > 0 && width % 2 == 0 && height % 2 == 0);
  POMPC_CHECK_GT(picture_seconds, 0);
  const Format& format = *FormatOf(path_);
  std::vector<std::string> command = {
      "ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-f", "rawvideo",
      "-pixel_format", "rgb24", "-video_size", absl::StrCat(width, "x", height),
      // A fraction, which ffmpeg keeps exactly.
      "-framerate", absl::StrCat("1000000/", std::lround(1e6 * picture_seconds)), "-i", "pipe:0"};
  command.insert(command.end(), format.encoder.begin(), format.encoder.end());
  command.insert(command.end(), {"-f", std::string(format.muxer), "file:" + unfinished_});
  POMPC_ASSIGN_OR_RETURN(ffmpeg_, ChildProcess::Start(command, kPatience));
  return absl::OkStatus();
}

absl::Status VideoFile::Add(std::span<const uint8_t> picture) {
  POMPC_CHECK(ffmpeg_ != nullptr, "Begin comes first");
  return Annotate(ffmpeg_->Write(picture), path_);
}

absl::Status VideoFile::Close() {
  POMPC_CHECK(ffmpeg_ != nullptr, "Begin comes first");
  POMPC_RETURN_IF_ERROR(Annotate(ffmpeg_->Finish(), path_));
  return Rename(unfinished_, path_);
}

}  // namespace pompc::cli
