#include "cli/film/video_file.h"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cli/film/episode_film.h"
#include "common/io/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(PictureSizeTest, IsTwoEvenNumbers) {
  const auto size = ParsePictureSize("320x240");
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(size->width, 320);
  EXPECT_EQ(size->height, 240);
  for (const char* text : {"", "640", "640x", "axb", "641x480", "640x481", "14x16", "16x2050",
                           "640x480x3", "-640x480", "640 x 480x", "0640x480", "640x0x1e0",
                           "+640x480", "640x480 ", "1e2x100"}) {
    const absl::Status status = ParsePictureSize(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(status.message(), HasSubstr("16 to 2048")) << text;
  }
}

TEST(DecisionsPerPictureTest, AtMostSixtyPicturesASecond) {
  EXPECT_EQ(DecisionsPerPicture(1.0), 1);
  EXPECT_EQ(DecisionsPerPicture(0.02), 1);
  EXPECT_EQ(DecisionsPerPicture(1.0 / 60), 1);
  EXPECT_EQ(DecisionsPerPicture(0.01), 2);
  EXPECT_EQ(DecisionsPerPicture(0.0025), 7);
}

TEST(VideoFileEndingTest, OtherEndingsAreRefusedWithThoseThereAre) {
  for (const char* path : {"a.mp4", "b/c.mkv", "d.webm", "e.gif"}) {
    EXPECT_TRUE(VideoFile::CheckEnding(path).ok()) << path;
  }
  for (const char* path : {"a", "a.avi", "mp4", ".mp4", "a.mp4/"}) {
    const absl::Status status = VideoFile::CheckEnding(path);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << path;
    EXPECT_THAT(status.message(), HasSubstr(".mp4, .mkv, .webm, .gif"));
  }
}

// PATH has a shell script in ffmpeg's place.
class VideoFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "bin");
    fs::create_directories(folder_ / "out");
    setenv("PATH", (folder_ / "bin").c_str(), 1);
  }
  void TearDown() override {
    setenv("PATH", path_.c_str(), 1);
    fs::remove_all(folder_);
  }

  // What it does when it is asked for a video; $out is the file it is to write.
  void InstallFfmpeg(const std::string& script) {
    const fs::path program = folder_ / "bin" / "ffmpeg";
    std::ofstream(program) << "#!/bin/sh\nPATH=/usr/bin:/bin\n[ \"$1\" = -version ] && exit 0\n"
                           << "for out in \"$@\"; do :; done; out=${out#file:}\n"
                           << script << "\n";
    fs::permissions(program, fs::perms::owner_all);
  }

  std::string path() const { return folder_ / "out" / "film.mp4"; }
  std::vector<std::string> Left() const { return *NamesIn(folder_ / "out"); }

  // One picture of 2x2 pixels, and the end.
  absl::Status Encode(VideoFile& video) {
    absl::Status status = video.Begin(2, 2, 0.02);
    if (status.ok()) status = video.Add(std::vector<uint8_t>(12, 'p'));
    return status.ok() ? video.Close() : status;
  }

  const std::string path_ = std::getenv("PATH");
  fs::path folder_;
};

TEST_F(VideoFileTest, TakesItsPlaceWhenItIsComplete) {
  InstallFfmpeg("cat > \"$out\"");
  std::ofstream(path()) << "old";
  {
    const auto video = VideoFile::Make(path());
    ASSERT_TRUE(video.ok()) << video.status();
    EXPECT_EQ(*ReadFile(path()), "old");
    const absl::Status status = Encode(**video);
    EXPECT_TRUE(status.ok()) << status;
  }
  EXPECT_THAT(Left(), ElementsAre("film.mp4"));
  EXPECT_EQ(*ReadFile(path()), "pppppppppppp");
}

TEST_F(VideoFileTest, FfmpegsFailureIsToldAndNothingIsLeft) {
  InstallFfmpeg("cat > \"$out\"; echo 'No space left' >&2; exit 5");
  {
    const auto video = VideoFile::Make(path());
    ASSERT_TRUE(video.ok()) << video.status();
    const absl::Status status = Encode(**video);
    EXPECT_EQ(status.message(), path() + ": ffmpeg ended with status 5: No space left");
  }
  EXPECT_THAT(Left(), IsEmpty());
}

TEST_F(VideoFileTest, AnUnfinishedOneLeavesNothing) {
  InstallFfmpeg("exec cat > \"$out\"");
  {
    const auto video = VideoFile::Make(path());
    ASSERT_TRUE(video.ok()) << video.status();
    EXPECT_TRUE((*video)->Begin(2, 2, 0.02).ok());
    EXPECT_TRUE((*video)->Add(std::vector<uint8_t>(12)).ok());
  }
  EXPECT_THAT(Left(), IsEmpty());
}

TEST_F(VideoFileTest, WithoutFfmpegTheErrorSaysWhatToInstall) {
  const absl::Status status = VideoFile::Make(path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("there is no program ffmpeg in PATH"));
  EXPECT_THAT(status.message(), HasSubstr("apt-get install ffmpeg"));
  EXPECT_THAT(Left(), IsEmpty());
}

TEST_F(VideoFileTest, FolderThatIsNotThereIsNamed) {
  InstallFfmpeg("exit 0");
  const absl::Status status = VideoFile::Make("/nowhere/film.mp4").status();
  EXPECT_THAT(status.message(), HasSubstr("/nowhere/film.mp4"));
}

}  // namespace
}  // namespace pompc::cli
