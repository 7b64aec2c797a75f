#include "common/values/short_text.h"

#include "gtest/gtest.h"

namespace pompc {
namespace {

TEST(ShortTextTest, KeepsWhatIsFitAndShort) {
  EXPECT_EQ(ShortText("Grüße, 世界 😀", 64), "Grüße, 世界 😀");
  EXPECT_EQ(ShortText("", 64), "");
  EXPECT_EQ(ShortText("exact", 5), "exact");
}

TEST(ShortTextTest, CutsAtACharacter) {
  EXPECT_EQ(ShortText("0123456789", 8), "01234...");
  // Six bytes leave three for the text, and "ü" takes the second and third, or third and fourth.
  EXPECT_EQ(ShortText("aüüüü", 6), "aü...");
  EXPECT_EQ(ShortText("aaüüü", 6), "aa...");
  EXPECT_EQ(ShortText("0123", 2), "..");
  EXPECT_EQ(ShortText("0123", 0), "");
}

TEST(ShortTextTest, ReplacesWhatIsNoText) {
  EXPECT_EQ(ShortText("line\nanother\ttab\x7f", 64), "line another tab ");
  EXPECT_EQ(ShortText("a\xff\xfe" "b", 64), "a??b");
  EXPECT_EQ(ShortText("\xc3", 64), "?") << "a character that breaks off";
  EXPECT_EQ(ShortText("\xc0\xaf", 64), "??") << "an overlong form";
  EXPECT_EQ(ShortText("\xed\xa0\x80", 64), "???") << "a surrogate";
  EXPECT_EQ(ShortText("\xf4\x90\x80\x80", 64), "????") << "beyond Unicode";
}

}  // namespace
}  // namespace pompc
