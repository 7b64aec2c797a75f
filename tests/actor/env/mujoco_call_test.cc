#include "actor/env/physics/mujoco_call.h"

#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "mujoco/mujoco.h"

namespace pompc::env {
namespace {

using ::testing::HasSubstr;

TEST(MujocoCallTest, ErrorBecomesInternalStatusAndLaterCallsWork) {
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = CallMujoco([] { mju_error("stack overflow"); });
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()), HasSubstr("stack overflow"));
  }
  EXPECT_TRUE(CallMujoco([] {}).ok());
}

TEST(MujocoCallTest, WarningIsKeptForTheThreadThatCausedIt) {
  EXPECT_TRUE(CallMujoco([] { mju_warning("contact buffer full"); }).ok());
  EXPECT_STREQ(LastMujocoWarning(), "contact buffer full");
  std::thread other([] { EXPECT_STREQ(LastMujocoWarning(), ""); });
  other.join();
}

TEST(MujocoCallTest, ErrorsOfTwoThreadsDoNotMix) {
  const auto fail_often = [](const char* message) {
    for (int i = 0; i < 1000; ++i) {
      const absl::Status status = CallMujoco([message] { mju_error(message); });
      ASSERT_THAT(std::string(status.message()), HasSubstr(message));
    }
  };
  std::thread first(fail_often, "first");
  std::thread second(fail_often, "second");
  first.join();
  second.join();
}

}  // namespace
}  // namespace pompc::env
