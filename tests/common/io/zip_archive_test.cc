#include "common/io/zip_archive.h"

#include <cstdint>
#include <cstring>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::HasSubstr;

std::string Archive() { return *WriteZip({{"a.npy", "hello"}, {"folder/b", ""}, {"c", "1234"}}); }

// `archive` with `value` written over the bytes at `offset`.
template <typename Number>
std::string With(std::string archive, size_t offset, Number value) {
  std::memcpy(archive.data() + offset, &value, sizeof(value));
  return archive;
}

// Where the directory and the end record of Archive() begin.
size_t DirectoryBegin(const std::string& archive) { return archive.find("PK\1\2"); }
size_t EndBegin(const std::string& archive) { return archive.size() - 22; }

absl::Status StatusOf(const std::string& archive) { return ReadZip(archive).status(); }

TEST(ZipArchiveTest, ReadsWhatWasWritten) {
  const std::string archive = Archive();
  const auto members = ReadZip(archive);
  ASSERT_TRUE(members.ok()) << members.status();
  ASSERT_EQ(members->size(), 3u);
  EXPECT_EQ((*members)[0].name, "a.npy");
  EXPECT_EQ((*members)[0].content, "hello");
  EXPECT_EQ((*members)[1].name, "folder/b");
  EXPECT_EQ((*members)[1].content, "");
  EXPECT_EQ((*members)[2].content, "1234");
}

TEST(ZipArchiveTest, AnArchiveMayBeEmpty) {
  const auto archive = WriteZip({});
  ASSERT_TRUE(archive.ok());
  const auto members = ReadZip(*archive);
  ASSERT_TRUE(members.ok()) << members.status();
  EXPECT_TRUE(members->empty());
}

TEST(ZipArchiveTest, ACommentAtTheEndIsAllowed) {
  const std::string archive = Archive();
  const std::string comment = "said in passing";
  const std::string with =
      With(archive, archive.size() - 2, static_cast<uint16_t>(comment.size())) + comment;
  EXPECT_TRUE(StatusOf(with).ok()) << StatusOf(with);
}

TEST(ZipArchiveTest, WhatIsCutOffIsDataLoss) {
  const std::string archive = Archive();
  for (size_t length = 0; length < archive.size(); ++length) {
    EXPECT_EQ(StatusOf(archive.substr(0, length)).code(), absl::StatusCode::kDataLoss) << length;
  }
}

TEST(ZipArchiveTest, NoByteCanBeFlippedUnnoticedIntoOtherContent) {
  const std::string archive = Archive();
  for (size_t i = 0; i < archive.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = archive;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const auto members = ReadZip(damaged);
      if (!members.ok()) continue;
      // What remains readable differs in dates, versions and the like alone.
      ASSERT_EQ(members->size(), 3u) << i;
      EXPECT_EQ((*members)[0].name + (*members)[1].name + (*members)[2].name, "a.npyfolder/bc");
      EXPECT_EQ((*members)[0].content, "hello") << i;
      EXPECT_EQ((*members)[2].content, "1234") << i;
    }
  }
}

TEST(ZipArchiveTest, OffsetsAndSizesBeyondTheArchiveAreDataLoss) {
  const std::string archive = Archive();
  const size_t directory = DirectoryBegin(archive);
  const size_t end = EndBegin(archive);
  const uint32_t large = 0xfffffff0;
  // Directory entry: sizes at 20 and 24, offset at 42. End record: size at 12, offset at 16.
  std::string sizes = With(With(archive, directory + 20, large), directory + 24, large);
  EXPECT_EQ(StatusOf(sizes).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(StatusOf(With(archive, directory + 42, large)).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(StatusOf(With(archive, end + 12, large)).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(StatusOf(With(archive, end + 16, large)).code(), absl::StatusCode::kDataLoss);
  // Lengths of name, extra field and comment.
  for (const size_t at : {28, 30, 32}) {
    EXPECT_EQ(StatusOf(With(archive, directory + at, uint16_t{65535})).code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST(ZipArchiveTest, MembersMustNotShareBytes) {
  // Both entries of the directory lead to the first member.
  const std::string archive = *WriteZip({{"a", std::string(100, 'x')}, {"a2", ""}});
  std::string bytes = archive;
  const size_t first = DirectoryBegin(bytes);
  const size_t second = first + 46 + 1;
  std::memcpy(bytes.data() + second + 16, bytes.data() + first + 16, 12);
  std::memcpy(bytes.data() + second + 42, bytes.data() + first + 42, 4);
  EXPECT_EQ(StatusOf(bytes).code(), absl::StatusCode::kDataLoss);
}

TEST(ZipArchiveTest, WhatIsNotSupportedIsNamed) {
  const std::string archive = Archive();
  const size_t directory = DirectoryBegin(archive);
  const auto expect = [](const std::string& bytes, const char* text) {
    EXPECT_EQ(StatusOf(bytes).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(StatusOf(bytes).message()), HasSubstr(text));
  };
  expect(With(archive, directory + 10, uint16_t{8}), "\"a.npy\" is compressed");
  expect(With(archive, directory + 8, uint16_t{1}), "encrypted");
  expect(With(archive, directory + 24, uint32_t{0xffffffff}), "zip64");
  expect(With(archive, EndBegin(archive) + 16, uint32_t{0xffffffff}), "zip64");
  expect(With(archive, EndBegin(archive) + 4, uint16_t{1}), "several parts");
}

TEST(ZipArchiveTest, ABadChecksumNamesTheMember) {
  std::string archive = Archive();
  archive[archive.find("hello")] = 'J';
  EXPECT_EQ(StatusOf(archive).code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(StatusOf(archive).message()), HasSubstr("\"a.npy\" is corrupt"));
}

TEST(ZipArchiveTest, BadMembersAreNotWritten) {
  EXPECT_THAT(std::string(WriteZip({{"a", ""}, {"a", ""}}).status().message()),
              HasSubstr("\"a\" is given twice"));
  EXPECT_FALSE(WriteZip({{"", "x"}}).ok());
  EXPECT_FALSE(WriteZip({{std::string(65536, 'n'), "x"}}).ok());
  // Never read: only its size counts.
  const std::string byte = "x";
  const std::string_view huge(byte.data(), uint64_t{4} << 30);
  EXPECT_THAT(std::string(WriteZip({{"a", huge}}).status().message()), HasSubstr("4 GiB"));
}

}  // namespace
}  // namespace pompc
