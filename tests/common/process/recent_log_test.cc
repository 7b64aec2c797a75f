#include "common/process/recent_log.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/process/log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

std::vector<std::string> Texts(const std::vector<LogLine>& lines) {
  std::vector<std::string> texts;
  for (const LogLine& line : lines) texts.push_back(line.text);
  return texts;
}

TEST(RecentLog, KeepsTheNewestLinesAndWarningsLonger) {
  RecentLog log;
  const auto write = [&](spdlog::level::level_enum level, const std::string& text) {
    log.log(spdlog::details::log_msg("test", level, text));
  };
  write(spdlog::level::warn, "the disk is full");
  write(spdlog::level::debug, "a detail");
  for (size_t i = 0; i < RecentLog::kMaxLines; ++i) {
    write(spdlog::level::info, absl::StrCat("line ", i));
  }
  EXPECT_THAT(log.Lines(), SizeIs(RecentLog::kMaxLines));
  EXPECT_EQ(log.Lines().front().text, "line 0");
  EXPECT_EQ(log.Lines().back().text, absl::StrCat("line ", RecentLog::kMaxLines - 1));
  EXPECT_THAT(Texts(log.Warnings()), ElementsAre("the disk is full"));
  EXPECT_EQ(log.Warnings()[0].level, spdlog::level::warn);
  for (size_t i = 0; i <= RecentLog::kMaxWarnings; ++i) {
    write(spdlog::level::err, absl::StrCat("error ", i));
  }
  EXPECT_THAT(log.Warnings(), SizeIs(RecentLog::kMaxWarnings));
  EXPECT_EQ(log.Warnings().front().text, "error 1");
}

TEST(RecentLog, LinesAreShortUtf8OnOneLine) {
  RecentLog log;
  log.log(spdlog::details::log_msg("test", spdlog::level::info, "a\nb\xff"));
  log.log(spdlog::details::log_msg("test", spdlog::level::info, std::string(10000, 'x')));
  EXPECT_EQ(log.Lines()[0].text, "a b?");
  EXPECT_THAT(log.Lines()[1].text, SizeIs(RecentLog::kMaxLineBytes));
}

TEST(RecentLog, HasWhatLogIsGivenWhateverStandardErrorShows) {
  ::testing::internal::CaptureStderr();
  ASSERT_TRUE(SetUpLogging({.level = "error"}).ok());
  Log().info("only {}", "for the page");
  ASSERT_TRUE(SetUpLogging({}).ok());
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(RecentLog::Sink()->Lines().back().text, "only for the page");
}

}  // namespace
}  // namespace pompc
