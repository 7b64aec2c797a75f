#include "common/io/background_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/io/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::HasSubstr;

// The longest time that a program may take here, in milliseconds.
constexpr int kLongMs = 60'000;

class BackgroundProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    log_ = absl::StrCat(testing::TempDir(), "/background-", getpid(), ".log");
    ASSERT_TRUE(RemoveAll(log_).ok());
  }

  std::unique_ptr<BackgroundProcess> Shell(const std::string& script, int nice = 0) {
    auto process =
        BackgroundProcess::Start({.arguments = {"sh", "-c", script}, .log = log_, .nice = nice});
    EXPECT_TRUE(process.ok()) << process.status();
    return *std::move(process);
  }

  // Waits for the end as an owner of many programs does.
  static ProcessEnd AwaitEnd(BackgroundProcess& process) {
    std::optional<ProcessEnd> end;
    while (!(end = process.Poll()).has_value()) {
      pollfd wait = {.fd = process.end_fd(), .events = POLLIN, .revents = 0};
      EXPECT_EQ(poll(&wait, 1, kLongMs), 1);
    }
    return *end;
  }

  std::string log_;
};

TEST_F(BackgroundProcessTest, WritesItsOutputBehindThatOfEarlierOnes) {
  for (const char* script : {"echo one", "echo two >&2; cat"}) {
    const auto process = Shell(script);
    EXPECT_TRUE(AwaitEnd(*process).ok());
    EXPECT_GT(process->Poll()->peak_memory_bytes, 0u);
  }
  EXPECT_EQ(*ReadFile(log_), "one\ntwo\n");
}

TEST_F(BackgroundProcessTest, TellsHowItEnded) {
  EXPECT_EQ(AwaitEnd(*Shell("exit 3")).ToString(), "ended with status 3");
  EXPECT_EQ(AwaitEnd(*Shell("kill -9 $$")).ToString(), "was ended by signal 9");
}

TEST_F(BackgroundProcessTest, GetsSignals) {
  const auto process = Shell("trap 'exit 7' TERM; echo ready; while :; do :; done");
  while (!process->Poll().has_value() && *ReadFile(log_) != "ready\n") poll(nullptr, 0, 1);
  process->Signal(SIGTERM);
  EXPECT_EQ(AwaitEnd(*process).status, 7);
}

TEST_F(BackgroundProcessTest, IsAsNiceAsItIsAsked) {
  // The test itself may run at a lower priority.
  const int expected = std::min(getpriority(PRIO_PROCESS, 0) + 3, 19);
  EXPECT_TRUE(AwaitEnd(*Shell("nice", 3)).ok());
  EXPECT_THAT(*ReadFile(log_), HasSubstr(absl::StrCat(expected, "\n")));
}

TEST_F(BackgroundProcessTest, AProgramThatDoesNotExistIsNamed) {
  const auto process = BackgroundProcess::Start({.arguments = {"/no/such"}, .log = log_});
  EXPECT_EQ(process.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(process.status().message()), HasSubstr("/no/such"));
  const auto nowhere = BackgroundProcess::Start({.arguments = {"true"}, .log = "/no/such/log"});
  EXPECT_THAT(std::string(nowhere.status().message()), HasSubstr("/no/such/log"));
}

TEST_F(BackgroundProcessTest, DoesNotOutliveItsParent) {
  std::array<int, 2> ends = {-1, -1};
  ASSERT_EQ(pipe(ends.data()), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    // The grandchild inherits the writing end; it would hold it for ever.
    const auto process =
        BackgroundProcess::Start({.arguments = {"sh", "-c", "while :; do :; done"}, .log = log_});
    kill(getpid(), SIGKILL);
  }
  ASSERT_EQ(close(ends[1]), 0);
  int status = 0;
  ASSERT_EQ(waitpid(parent, &status, 0), parent);
  EXPECT_TRUE(WIFSIGNALED(status));
  pollfd wait = {.fd = ends[0], .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&wait, 1, kLongMs), 1) << "the program still runs";
  EXPECT_EQ(wait.revents & POLLHUP, POLLHUP);
  close(ends[0]);
}

}  // namespace
}  // namespace pompc
