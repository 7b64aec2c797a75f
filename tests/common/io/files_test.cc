#include "common/io/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::HasSubstr;

class FilesTest : public ::testing::Test {
 protected:
  FilesTest() {
    std::string folder = ::testing::TempDir() + "/filesXXXXXX";
    folder_ = mkdtemp(folder.data());
  }
  ~FilesTest() override { RemoveAll(folder_).IgnoreError(); }

  std::string File(const std::string& name) const { return folder_ + "/" + name; }

  std::string folder_;
};

TEST_F(FilesTest, ReadsAFileUpToTheBound) {
  std::ofstream(File("a")) << "12345";
  EXPECT_EQ(*ReadFile(File("a")), "12345");
  EXPECT_EQ(*ReadFile(File("a"), 5), "12345");
  const absl::Status large = ReadFile(File("a"), 4).status();
  EXPECT_EQ(large.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(large.message()), HasSubstr(File("a") + " is larger than 4 bytes"));
  EXPECT_EQ(ReadFile("/dev/zero", 1 << 20).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(FilesTest, AFolderIsNoFile) {
  EXPECT_THAT(std::string(ReadFile(folder_).status().message()), HasSubstr("Is a directory"));
}

TEST_F(FilesTest, APipeThatNobodyWritesToDoesNotBlock) {
  ASSERT_EQ(mkfifo(File("pipe").c_str(), 0600), 0);
  const absl::Status status = ReadFile(File("pipe")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nobody writes to"));
}

TEST_F(FilesTest, APipeIsNotReplacedByAFile) {
  ASSERT_EQ(mkfifo(File("pipe").c_str(), 0600), 0);
  // A link to it counts as the pipe.
  ASSERT_EQ(symlink(File("pipe").c_str(), File("link").c_str()), 0);
  for (const char* name : {"pipe", "link"}) {
    const absl::Status status = WriteFileAtomically(File(name), "text");
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(File(name)));
  }
  struct stat found = {};
  ASSERT_EQ(stat(File("link").c_str(), &found), 0);
  EXPECT_TRUE(S_ISFIFO(found.st_mode));
}

TEST_F(FilesTest, APipeIsReadToItsEnd) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const std::string data(300'000, 'x');  // more than a pipe holds
  Thread writer("writer", [&] {
    EXPECT_TRUE(WriteAll(ends[1], data, "pipe").ok());
    close(ends[1]);
  });
  const absl::StatusOr<std::string> read = ReadFile("/dev/fd/" + std::to_string(ends[0]));
  writer.Join();
  close(ends[0]);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, data);
}

TEST_F(FilesTest, NewFoldersAreNobodyElses) {
  EXPECT_EQ(*MakeNewFolder(File("a/b")), File("a/b"));
  EXPECT_EQ(*MakeNewFolder(File("a/b")), File("a/b-2"));
  std::ofstream(File("a/b-3")) << "a file has the name";
  EXPECT_EQ(*MakeNewFolder(File("a/b")), File("a/b-4"));
  EXPECT_FALSE(MakeNewFolder(File("a/b-3/c")).ok());
}

TEST_F(FilesTest, NewFoldersOfManyAtOnceDiffer) {
  constexpr size_t kThreads = 8;
  std::vector<std::string> made(kThreads);
  std::vector<Thread> threads;
  for (std::string& path : made) {
    threads.emplace_back("maker", [&] { path = *MakeNewFolder(File("run")); });
  }
  for (Thread& thread : threads) thread.Join();
  EXPECT_EQ(std::set<std::string>(made.begin(), made.end()).size(), kThreads);
}

}  // namespace
}  // namespace pompc
