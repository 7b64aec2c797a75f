#include "common/process/log.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

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

TEST(Log, UnknownLevelListsTheLevels) {
  const absl::Status status = SetUpLogging({.level = "loud"});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "log level \"loud\"; allowed: trace, debug, info, warning, error, critical, off");
}

}  // namespace
}  // namespace pompc
