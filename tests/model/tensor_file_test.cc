#include "model/tensor_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/model/testing.h"

namespace pompc::model {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class TensorFileTest : public ::testing::Test {
 protected:
  TensorFileTest()
      : path_(::testing::TempDir() + "tensor_file_test_" + std::to_string(::getpid()) +
              ".safetensors") {}
  ~TensorFileTest() override { std::filesystem::remove(path_); }

  void Write(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }
  void WriteHeader(const std::string& header, const std::string& data) {
    const uint64_t length = header.size();
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &length, 8);
    Write(bytes + header + data);
  }
  void ExpectDataLoss(const char* what) {
    const absl::Status status = ReadTensorFile(path_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_THAT(std::string(status.message()), StartsWith(path_));
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
  }

  const std::string path_;
};

TEST_F(TensorFileTest, ReadsWhatWasWritten) {
  // Out of alphabetical order, which must survive.
  const NamedTensors tensors = {
      {"z", Draw(1, {2, 3})}, {"a", Draw(2, {4}, at::kDouble)}, {"empty", at::empty({0})}};
  const Metadata metadata = {{"count", "12"}, {"text", "with \"quotes\" and \n lines"}};
  ASSERT_TRUE(WriteTensorFile(path_, tensors, metadata).ok());
  const auto file = ReadTensorFile(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->metadata, metadata);
  ASSERT_EQ(file->tensors.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(file->tensors[i].name, tensors[i].name);
    EXPECT_TRUE(at::equal(file->tensors[i].tensor, tensors[i].tensor));
  }
  EXPECT_FALSE(std::filesystem::exists(path_ + ".tmp"));
}

TEST_F(TensorFileTest, ReadsFilesOfOtherWriters) {
  const float values[] = {1.5f, -2.0f};
  WriteHeader(R"({"x":{"shape":[2],"data_offsets":[0,8],"dtype":"F32"}})",
              std::string(reinterpret_cast<const char*>(values), 8));
  const auto file = ReadTensorFile(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(at::equal(file->tensors[0].tensor, at::tensor({1.5f, -2.0f})));
}

TEST_F(TensorFileTest, TakesEntriesInAnyOrder) {
  WriteHeader(R"({"b":{"dtype":"I64","shape":[],"data_offsets":[8,16]},)"
              R"("none":{"dtype":"F32","shape":[0,3],"data_offsets":[8,8]},)"
              R"("a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})",
              std::string(16, '\0'));
  const auto file = ReadTensorFile(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors.size(), 3u);
  EXPECT_EQ(file->tensors[0].name, "a");
  EXPECT_EQ(file->tensors[1].name, "none");
  EXPECT_EQ(file->tensors[2].name, "b");
}

TEST_F(TensorFileTest, BooleansMustBe0Or1) {
  WriteHeader(R"({"x":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})", {'\1', '\0', '\1'});
  const auto file = ReadTensorFile(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(at::equal(file->tensors[0].tensor, at::tensor({1, 0, 1}).to(at::kBool)));
  WriteHeader(R"({"x":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})", {'\1', '\0', '\2'});
  ExpectDataLoss("tensor \"x\": a bool is neither 0 nor 1");
}

TEST_F(TensorFileTest, OtherFormatsAreRefused) {
  // These are the first bytes of .npz files and PyTorch's.
  Write(std::string("PK\3\4\x2d\0\0\0\0\0\x21\0", 12) + std::string(100, 'x'));
  ExpectDataLoss("not a safetensors file");
}

TEST_F(TensorFileTest, DamagedFilesNeverReadAsOtherShapes) {
  ASSERT_TRUE(WriteTensorFile(path_, {{"x", Draw(1, {4})}}, {}).ok());
  std::ifstream stream(path_, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)),
                          std::istreambuf_iterator<char>());
  for (size_t i = 0; i + 16 < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    Write(damaged);
    const auto file = ReadTensorFile(path_);
    if (!file.ok()) continue;
    ASSERT_EQ(file->tensors.size(), 1u) << i;
    EXPECT_EQ(file->tensors[0].tensor.nbytes(), 16u) << i;
  }
}

TEST_F(TensorFileTest, ReplacesAnOlderFile) {
  ASSERT_TRUE(WriteTensorFile(path_, {{"x", at::zeros({100})}}, {}).ok());
  ASSERT_TRUE(WriteTensorFile(path_, {{"x", at::ones({2})}}, {}).ok());
  EXPECT_TRUE(at::equal(ReadTensorFile(path_)->tensors[0].tensor, at::ones({2})));
}

TEST_F(TensorFileTest, AHeaderOfManyNamesIsReadInSeconds) {
  // In a map that searches its keys one after the other this would take minutes, and the test would
  // be ended.
  std::string header = "{";
  for (int i = 0; i < 200'000; ++i) {
    header += (i > 0 ? ",\"x" : "\"x") + std::to_string(i) +
              R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  }
  WriteHeader(header + "}", "");
  const auto file = ReadTensorFile(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors.size(), 200'000u);
}

TEST_F(TensorFileTest, MissingFileIsNotFound) {
  const absl::Status status = ReadTensorFile(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
}

TEST_F(TensorFileTest, MissingFolderIsNotFound) {
  const absl::Status status = WriteTensorFile(path_ + ".d/x", {{"x", at::ones({2})}}, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_ + ".d/x"));
}

TEST_F(TensorFileTest, EveryTruncationIsRefused) {
  ASSERT_TRUE(
      WriteTensorFile(path_, {{"x", Draw(1, {3})}, {"y", Draw(2, {2})}}, {{"k", "v"}}).ok());
  std::ifstream stream(path_, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)),
                          std::istreambuf_iterator<char>());
  for (size_t size = 0; size < bytes.size(); ++size) {
    Write(bytes.substr(0, size));
    ASSERT_EQ(ReadTensorFile(path_).status().code(), absl::StatusCode::kDataLoss) << size;
  }
  Write(bytes + "x");
  ExpectDataLoss("bytes of data");
}

TEST_F(TensorFileTest, CorruptHeadersAreRefused) {
  Write(std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8) + "{}");
  ExpectDataLoss("does not fit");
  WriteHeader("[1]", "");
  ExpectDataLoss("not a JSON object");
  WriteHeader("{\"x\":", "");
  ExpectDataLoss("not a JSON object");
  WriteHeader(R"({"x":{"dtype":"F32","shape":[2]}})", std::string(8, '\0'));
  ExpectDataLoss("\"x\" wrongly");
  WriteHeader(R"({"x":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}})", std::string(8, '\0'));
  ExpectDataLoss("\"x\" wrongly");
  WriteHeader(R"({"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", std::string(8, '\0'));
  ExpectDataLoss("\"x\" wrongly");
  WriteHeader(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", std::string(8, '\0'));
  ExpectDataLoss("\"x\" wrongly");
  WriteHeader(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", std::string(12, '\0'));
  ExpectDataLoss("gap before tensor \"x\"");
  WriteHeader(R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", std::string(8, '\0'));
  ExpectDataLoss("does not take 8 bytes");
  WriteHeader(R"({"x":{"dtype":"E99","shape":[2],"data_offsets":[0,8]}})", std::string(8, '\0'));
  ExpectDataLoss("unknown dtype");
  // Sizes whose product overflows, also where another size is 0.
  WriteHeader(R"({"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", "");
  ExpectDataLoss("does not take 0 bytes");
  WriteHeader(R"({"x":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})",
              "");
  ExpectDataLoss("does not take 0 bytes");
  std::string ones = "1";
  for (int i = 0; i < 32; ++i) ones += ",1";
  WriteHeader(R"({"x":{"dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,1]}})", "1");
  ExpectDataLoss("\"x\" wrongly");
  // A message stays one line of bounded length.
  WriteHeader(R"({"a\nb)" + std::string(10000, 'x') + R"(":1})", "");
  const std::string message(ReadTensorFile(path_).status().message());
  EXPECT_LT(message.size(), path_.size() + 310);
  EXPECT_EQ(message.find('\n'), std::string::npos);
  WriteHeader(R"({"__metadata__":{"k":1}})", "");
  ExpectDataLoss("metadata \"k\"");
  WriteHeader(R"({"__metadata__":1})", "");
  ExpectDataLoss("metadata is not");
}

}  // namespace
}  // namespace pompc::model
