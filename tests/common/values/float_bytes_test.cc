#include "common/values/float_bytes.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

TEST(FloatBytes, AreLittleEndian) {
  EXPECT_EQ(ToBytes<float>({1.0f}), std::string("\x00\x00\x80\x3f", 4));
  EXPECT_EQ(ToBytes<uint64_t>({258}), std::string("\x02\x01\0\0\0\0\0\0", 8));
  EXPECT_EQ(ToBytes<uint8_t>({1, 255}), "\x01\xff");
}

TEST(FloatBytes, RoundTrip) {
  const std::vector<float> values = {-0.0f, 1e-45f, 3.4e38f, -2.5f};
  std::string bytes = ToBytes<float>({7.0f});
  AppendBytes<float>(values, &bytes);
  // Not aligned, as bytes of a message may be.
  const std::string shifted = "x" + bytes;
  const auto read = FromBytes<float>(absl::string_view(shifted).substr(1), "values", 5);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(*read, ::testing::ElementsAre(7.0f, -0.0f, 1e-45f, 3.4e38f, -2.5f));
}

TEST(FloatBytes, WrongSizeNamesFieldAndSizes) {
  std::vector<float> values(3, 9.0f);
  const absl::Status status =
      FromBytes<float>(ToBytes<float>({1, 2}), "observation", absl::MakeSpan(values));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "observation has 8 bytes; expected 3 numbers of 4 bytes (12)");
  EXPECT_EQ(values, std::vector<float>(3, 9.0f));
  EXPECT_FALSE(FromBytes<uint64_t>("1234567", "addresses", 1).ok());
}

TEST(FloatBytes, EmptyIsFine) {
  EXPECT_EQ(ToBytes<float>({}), "");
  EXPECT_TRUE(FromBytes<float>("", "nothing", 0).ok());
}

}  // namespace
}  // namespace pompc
