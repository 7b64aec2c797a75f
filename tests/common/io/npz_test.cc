#include "common/io/npz.h"

#include <string>
#include <utility>
#include <vector>

#include "common/io/zip_archive.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A .npy file with this header dict, version 1.
std::string Npy(const std::string& dict, const std::string& data) {
  std::string file = "\x93NUMPY";
  file.append({'\1', '\0', static_cast<char>(dict.size()), '\0'});
  return file + dict + data;
}

absl::Status StatusOf(const std::string& npy) {
  const std::string archive = *WriteZip({{"x.npy", npy}});
  return ReadNpz(archive).status();
}

TEST(NpzTest, ReadsWhatWasWritten) {
  const std::string floats(24, 'f'), doubles(8, 'd'), flags(3, '\1');
  const auto file = WriteNpz({{"q.0.weight", NpyType::kFloat32, {2, 3}, false, floats},
                              {"scalar", NpyType::kFloat64, {}, false, doubles},
                              {"none", NpyType::kInt64, {0, 7}, false, ""},
                              {"flags", NpyType::kBool, {3}, false, flags}});
  ASSERT_TRUE(file.ok()) << file.status();
  const auto arrays = ReadNpz(*file);
  ASSERT_TRUE(arrays.ok()) << arrays.status();
  ASSERT_EQ(arrays->size(), 4u);
  EXPECT_EQ((*arrays)[0].name, "q.0.weight");
  EXPECT_EQ((*arrays)[0].type, NpyType::kFloat32);
  EXPECT_THAT((*arrays)[0].shape, ElementsAre(2, 3));
  EXPECT_EQ((*arrays)[0].data, floats);
  EXPECT_THAT((*arrays)[1].shape, IsEmpty());
  EXPECT_EQ((*arrays)[1].data, doubles);
  EXPECT_THAT((*arrays)[2].shape, ElementsAre(0, 7));
  EXPECT_EQ((*arrays)[3].type, NpyType::kBool);
  EXPECT_EQ((*arrays)[3].data, flags);
}

TEST(NpzTest, ReadsHeadersHoweverTheyArePrinted) {
  const std::string data(24, 'x');
  for (const char* dict : {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }   \n",
                           "{\"shape\":(2,3),\"fortran_order\":True,\"descr\":\"<f4\"}"}) {
    const std::string archive = *WriteZip({{"x.npy", Npy(dict, data)}});
    const auto arrays = ReadNpz(archive);
    ASSERT_TRUE(arrays.ok()) << arrays.status();
    EXPECT_TRUE((*arrays)[0].fortran_order);
    EXPECT_THAT((*arrays)[0].shape, ElementsAre(2, 3));
  }
}

TEST(NpzTest, ReadsTheLongHeadersOfLaterVersions) {
  const std::string dict = "{'descr': '|b1', 'fortran_order': False, 'shape': (1,)}";
  std::string file = "\x93NUMPY";
  file.append({'\2', '\0', static_cast<char>(dict.size()), '\0', '\0', '\0'});
  EXPECT_TRUE(StatusOf(file + dict + "1").ok()) << StatusOf(file + dict + "1");
}

TEST(NpzTest, OtherTypesAreNamed) {
  for (const char* type : {"'<f2'", "'>f4'", "'<i4'", "'|O'", "'<U3'", "[('a', '<f4')]"}) {
    const std::string dict =
        std::string("{'descr': ") + type + ", 'fortran_order': False, 'shape': ()}";
    EXPECT_EQ(StatusOf(Npy(dict, "1234")).code(), absl::StatusCode::kInvalidArgument) << type;
    EXPECT_THAT(std::string(StatusOf(Npy(dict, "1234")).message()), HasSubstr("\"x\""));
  }
}

TEST(NpzTest, WhatIsNoArrayIsRefused) {
  const std::string archive = *WriteZip({{"readme.txt", "hello"}});
  EXPECT_THAT(std::string(ReadNpz(archive).status().message()), HasSubstr("readme.txt"));
  EXPECT_EQ(StatusOf("").code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(StatusOf("\x93NUMPY\1").code(), absl::StatusCode::kDataLoss);
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}";
  EXPECT_TRUE(StatusOf(Npy(good, "1234")).ok());
  // A header that reaches beyond the file.
  EXPECT_EQ(StatusOf(Npy(good, "").substr(0, 30)).code(), absl::StatusCode::kDataLoss);
}

TEST(NpzTest, SizesMustFollowFromTypeAndShape) {
  for (const char* shape : {"(2,)", "(0,)", "(4611686018427387904, 4)", "(99999999999999999999,)",
                            "(-1,)", "(1.5,)", "(1,", "1", "(1 2)"}) {
    const std::string dict =
        std::string("{'descr': '<f4', 'fortran_order': False, 'shape': ") + shape + "}";
    EXPECT_EQ(StatusOf(Npy(dict, "1234")).code(), absl::StatusCode::kDataLoss) << shape;
  }
}

TEST(NpzTest, HeadersMustBeComplete) {
  for (const char* dict :
       {"", "{}", "{'descr': '<f4', 'fortran_order': False}", "{'descr': '<f4', 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", "{'descr': '<f4"}) {
    EXPECT_EQ(StatusOf(Npy(dict, "1234")).code(), absl::StatusCode::kDataLoss) << dict;
  }
}

TEST(NpzTest, DamagedFilesNeverReadAsOtherNumbers) {
  const std::string data(16, 'x');
  const std::string file = *WriteNpz({{"x", NpyType::kFloat32, {4}, false, data}});
  for (size_t i = 0; i < file.size(); ++i) {
    std::string damaged = file;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    const auto arrays = ReadNpz(damaged);
    if (!arrays.ok()) continue;
    ASSERT_EQ(arrays->size(), 1u);
    EXPECT_EQ((*arrays)[0].data, data) << i;
    EXPECT_THAT((*arrays)[0].shape, ElementsAre(4)) << i;
  }
}

TEST(NpzTest, DataOfAnotherSizeIsNotWritten) {
  EXPECT_THAT(
      std::string(WriteNpz({{"x", NpyType::kFloat32, {2}, false, "1234"}}).status().message()),
      HasSubstr("\"x\""));
  EXPECT_FALSE(WriteNpz({{"x", NpyType::kFloat32, {1}, true, "1234"}}).ok());
}

}  // namespace
}  // namespace pompc
