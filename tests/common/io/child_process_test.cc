#include "common/io/child_process.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kLong = absl::Seconds(30);
constexpr absl::Duration kShort = absl::Milliseconds(50);

// More than fits between two processes.
const std::vector<uint8_t>& MuchData() {
  static const auto* data = new std::vector<uint8_t>(4'000'000, 7);
  return *data;
}

std::unique_ptr<ChildProcess> Shell(const std::string& script, absl::Duration patience = kLong) {
  auto process = ChildProcess::Start({"sh", "-c", script}, patience);
  EXPECT_TRUE(process.ok()) << process.status();
  return *std::move(process);
}

TEST(ChildProcessTest, ReadsAllThatIsWritten) {
  const auto process = Shell("test $(wc -c) = 8000000");
  EXPECT_TRUE(process->Write(MuchData()).ok());
  EXPECT_TRUE(process->Write(MuchData()).ok());
  const absl::Status status = process->Finish();
  EXPECT_TRUE(status.ok()) << status;
}

TEST(ChildProcessTest, FailureNamesStatusAndLastLine) {
  const auto process = Shell("cat >/dev/null; echo first >&2; echo the reason >&2; exit 3");
  EXPECT_TRUE(process->Write(MuchData()).ok());
  const absl::Status status = process->Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(status.message(), "sh ended with status 3: the reason");
}

TEST(ChildProcessTest, ManyWordsDoNotHoldItUp) {
  const auto process = Shell("yes complaint | head -n 100000 >&2; echo last >&2; exit 1");
  EXPECT_EQ(process->Finish().message(), "sh ended with status 1: last");
}

TEST(ChildProcessTest, DeathBySignalIsNamed) {
  EXPECT_EQ(Shell("kill -9 $$")->Finish().message(), "sh was ended by signal 9");
}

TEST(ChildProcessTest, WriteToOneThatEndedTellsWhyItDid) {
  const auto process = Shell("echo not today >&2; exit 4");
  EXPECT_EQ(process->Write(MuchData()).message(), "sh ended with status 4: not today");
}

TEST(ChildProcessTest, WriteToOneThatEndedWellFails) {
  const absl::Status status = Shell("exit 0")->Write(MuchData());
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(status.message(), HasSubstr("before its input did"));
}

TEST(ChildProcessTest, OneThatReadsNothingIsGivenUp) {
  const auto process = Shell("exec sleep 1000", kShort);
  EXPECT_EQ(process->Write(MuchData()).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(ChildProcessTest, OneThatDoesNotEndIsGivenUp) {
  EXPECT_EQ(Shell("exec sleep 1000", kShort)->Finish().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Shell("exec sleep 1000 2>&-", kShort)->Finish().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST(ChildProcessTest, MissingProgramIsNamed) {
  const auto process = ChildProcess::Start({"no-such-program-anywhere"}, kLong);
  EXPECT_EQ(process.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(process.status().message(), HasSubstr("no-such-program-anywhere"));
}

}  // namespace
}  // namespace pompc
