#include "common/values/numbers.h"

#include <cstdint>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::HasSubstr;

TEST(ParseInteger, ReadsDecimalDigits) {
  EXPECT_EQ(*ParseInteger<int>("0"), 0);
  EXPECT_EQ(*ParseInteger<int>("10"), 10);
  EXPECT_EQ(*ParseInteger<int>("-10"), -10);
  EXPECT_EQ(*ParseInteger<uint64_t>("18446744073709551615"),
            std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(*ParseInteger<int64_t>("-9223372036854775808"), std::numeric_limits<int64_t>::min());
}

TEST(ParseInteger, RefusesAllElse) {
  for (const char* text :
       {"",     " ",    "010",  "08",      "00",   "-0",    "-01",   "+1",    " 1",
        "1 ",   "1\n",  "\t1",  "0x10",    "0X1F", "0b1",   "0o7",   "1e3",   "1.0",
        "1.",   "1,0",  "1'0",  "1_000",   "one",  "--1",   "- 1",   "1L",    "1u",
        "nan",  "inf",  "-1",   "\xd9\xa1", "18446744073709551616",
        "99999999999999999999999"}) {
    const absl::StatusOr<uint64_t> value = ParseInteger<uint64_t>(text);
    EXPECT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(value.status().message()), HasSubstr("0 to 18446744073709551615"));
  }
  EXPECT_FALSE(ParseInteger<uint64_t>(std::string("1\0", 2)).ok());
}

TEST(ParseInteger, NamesTextAndRange) {
  EXPECT_EQ(ParseInteger<int>("65", 1, 64).status().message(),
            "\"65\"; allowed: integer in decimal, 1 to 64");
  EXPECT_EQ(ParseInteger<int>("1\r", 1, 64).status().message(),
            "\"1\\r\"; allowed: integer in decimal, 1 to 64");
  EXPECT_TRUE(ParseInteger<int>("1", 1, 64).ok());
  EXPECT_TRUE(ParseInteger<int>("64", 1, 64).ok());
  EXPECT_FALSE(ParseInteger<int>("0", 1, 64).ok());
  EXPECT_FALSE(ParseInteger<uint8_t>("256").ok());
}

TEST(ParseNumber, ReadsDecimalNumbers) {
  EXPECT_EQ(ParseNumber("0"), 0.0);
  EXPECT_EQ(ParseNumber("-250"), -250.0);
  EXPECT_EQ(ParseNumber("0.5"), 0.5);
  EXPECT_EQ(ParseNumber(".5"), 0.5);
  EXPECT_EQ(ParseNumber("5."), 5.0);
  EXPECT_EQ(ParseNumber("1e-3"), 1e-3);
  EXPECT_EQ(ParseNumber("2.5E+2"), 250.0);
}

TEST(ParseNumber, RefusesAllElse) {
  for (const char* text : {"",     ".",     "-",    "e3",   "1e",   "+1",   " 1",       "1 ",
                           "010",  "00.5",  "0x10", "0x1p3", "1,5", "1.5f", "nan",      "inf",
                           "-inf", "1e999", "1..2", "one",  "1 000", "1_0", "infinity", "1e1.5"}) {
    EXPECT_FALSE(ParseNumber(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace pompc
