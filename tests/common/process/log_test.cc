#include "common/process/log.h"

#include <algorithm>
#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string LinesAtLevel(const std::string& level) {
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(SetUpLogging({.role = "pompc-replay", .level = level}).ok());
  Log().debug("a {}", "detail");
  Log().info("a {}", "fact");
  Log().error("a {}", "failure");
  Log().flush();
  EXPECT_TRUE(SetUpLogging({}).ok());
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, ShowsLinesOfItsLevelAndAboveWithTheRole) {
  const std::string info = LinesAtLevel("info");
  EXPECT_THAT(info, Not(HasSubstr("detail")));
  EXPECT_THAT(info, HasSubstr(" I pompc-replay: a fact\n"));
  EXPECT_THAT(info, HasSubstr(" E pompc-replay: a failure\n"));
  EXPECT_THAT(LinesAtLevel("debug"), HasSubstr(" D pompc-replay: a detail\n"));
  EXPECT_THAT(LinesAtLevel("error"), Not(HasSubstr("fact")));
  EXPECT_EQ(LinesAtLevel("off"), "");
}

// What one line of JSON says; fails the test unless it is one object.
std::string JsonLine(const std::string& program, const std::function<void()>& log) {
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(SetUpLogging({.role = program, .format = "json"}).ok());
  log();
  Log().flush();
  EXPECT_TRUE(SetUpLogging({}).ok());
  const std::string line = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(line, AllOf(StartsWith("{\"time\":\"2"), EndsWith("}\n")));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
  return line;
}

TEST(Log, LinesOfJsonSayWhatTheyBelongTo) {
  const std::string early = JsonLine("pompc-actor", [] { Log().warn("a {}", "fact"); });
  EXPECT_THAT(early, AllOf(HasSubstr("\"severity\":\"WARNING\",\"message\":\"a fact\",\"source\":\""
                                     "tests/common/process/log_test.cc:"),
                           HasSubstr("\"role\":\"actor\"}"), Not(HasSubstr("\"run\""))));
  const std::string line = JsonLine("pompc-actor", [] {
    SetLogContext({.run = "one", .role = "evaluator"});
    SetLogContext({.index = "3"});
    Log().error("a failure");
  });
  EXPECT_THAT(line, AllOf(HasSubstr("\"severity\":\"ERROR\""),
                          HasSubstr("\"run\":\"one\",\"role\":\"evaluator\",\"index\":\"3\"}")));
  // A process of several roles: its lines are of none of them.
  const std::string several = JsonLine("", [] {
    SetLogContext({.run = "one", .role = "actor", .index = "3"});
    Log().info("a fact");
  });
  EXPECT_THAT(several, HasSubstr("\"run\":\"one\",\"role\":\"pompc\"}"));
}

TEST(Log, JsonHoldsWhateverALineSays) {
  const std::string line = JsonLine(
      "pompc-actor", [] { Log().info("{}", std::string("a \"b\" \\ c\n\td\x01 \xff \xc3\xa9")); });
  EXPECT_THAT(line, HasSubstr(R"("message":"a \"b\" \\ c\n\td\u0001 \\xff )"
                              "\xc3\xa9\","));
}

TEST(Log, WhyAProgramFailsIsALineOfItsFormat) {
  ::testing::internal::CaptureStderr();
  LogFailure("pompc-actor", "no learner");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "pompc-actor: no learner\n");
  EXPECT_THAT(
      JsonLine("pompc-actor", [] { LogFailure("pompc-actor", "no learner"); }),
      HasSubstr("\"severity\":\"CRITICAL\",\"message\":\"no learner\",\"role\":\"actor\"}"));
}

TEST(Log, UnknownFormatListsTheFormats) {
  const absl::Status status = SetUpLogging({.format = "xml"});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "log format \"xml\"; allowed: text, json");
}

TEST(Log, UnknownLevelListsTheLevels) {
  const absl::Status status = SetUpLogging({.level = "loud"});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "log level \"loud\"; allowed: trace, debug, info, warning, error, critical, off");
}

}  // namespace
}  // namespace pompc
