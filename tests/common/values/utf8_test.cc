#include "common/values/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace pompc {
namespace {

TEST(Utf8, TextStaysAsItIs) {
  for (const char* text : {"", "runs/a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                           "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf", "\x7f"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
    EXPECT_EQ(ToUtf8(text), text);
  }
  const std::string zero("a\0b", 3);
  EXPECT_EQ(ToUtf8(zero), zero);
}

TEST(Utf8, OtherBytesAreEscaped) {
  const struct {
    const char* bytes;
    const char* text;
  } kCases[] = {
      {"\xff", "\\xff"},
      {"run-\xe4", "run-\\xe4"},                            // Latin-1
      {"\x80\xbf", "\\x80\\xbf"},                           // continuations of nothing
      {"\xc3", "\\xc3"},                                    // cut off
      {"\xe2\x82", "\\xe2\\x82"},                           // cut off later
      {"\xc3(", "\\xc3("},                                  // not continued
      {"\xc0\xaf", "\\xc0\\xaf"},                           // overlong
      {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},                  // overlong
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},                  // a surrogate
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},         // above U+10FFFF
      {"\xc3\xa4\xff\xe2\x82\xac", "\xc3\xa4\\xff\xe2\x82\xac"},  // among text
  };
  for (const auto& [bytes, text] : kCases) {
    EXPECT_FALSE(IsUtf8(bytes)) << text;
    EXPECT_EQ(ToUtf8(bytes), text);
    EXPECT_TRUE(IsUtf8(ToUtf8(bytes)));
  }
}

}  // namespace
}  // namespace pompc
