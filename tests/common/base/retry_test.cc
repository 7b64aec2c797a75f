#include "common/base/retry.h"

#include <algorithm>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::ElementsAre;
using ::testing::Le;

// Every wait ends at once, at its deadline.
class JumpingClock : public Clock {
 public:
  absl::Duration Now() const override { return now_; }
  bool WaitUntil(CondVar* cv, Mutex* mu, absl::Duration deadline) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    now_ = std::max(now_, deadline);
    return false;
  }

 private:
  absl::Duration now_;
};

class RetryTest : public ::testing::Test {
 protected:
  RetryTest() {
    options_.backoff = {absl::Seconds(1), absl::Seconds(4), 2.0};
    options_.on_retry = [this](const absl::Status& error, absl::Duration delay) {
      EXPECT_EQ(error.code(), absl::StatusCode::kUnavailable);
      delays_.push_back(delay);
    };
  }

  // The results of the attempts, one after the other, the last one again and again.
  absl::Status Run(const std::vector<absl::Status>& results) {
    return RetryWhileUnavailable(&clock_, &stop_, options_, [&] {
      return results[std::min(attempts_++, results.size() - 1)];
    });
  }

  JumpingClock clock_;
  Event stop_;
  RetryOptions options_;
  size_t attempts_ = 0;
  std::vector<absl::Duration> delays_;
};

const absl::Status kDown = absl::UnavailableError("down");

TEST_F(RetryTest, RepeatsWhileUnavailableWithGrowingDelays) {
  EXPECT_TRUE(Run({kDown, kDown, kDown, kDown, absl::OkStatus()}).ok());
  EXPECT_EQ(attempts_, 5u);
  EXPECT_THAT(delays_, ElementsAre(Le(absl::Seconds(1)), Le(absl::Seconds(2)), Le(absl::Seconds(4)),
                                   Le(absl::Seconds(4))));
  EXPECT_EQ(clock_.Now(), delays_[0] + delays_[1] + delays_[2] + delays_[3]);
}

TEST_F(RetryTest, OtherErrorsAreFinal) {
  EXPECT_EQ(Run({kDown, absl::InvalidArgumentError("bad")}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(attempts_, 2u);
}

TEST_F(RetryTest, GivesUpWithTheLastErrorInTime) {
  options_.give_up_after = absl::Seconds(10);
  EXPECT_EQ(Run({kDown}), kDown);
  EXPECT_LT(clock_.Now(), absl::Seconds(10));
  EXPECT_GT(attempts_, 2u);
}

TEST_F(RetryTest, StopEndsItBeforeTheFirstAttempt) {
  stop_.Set();
  EXPECT_EQ(Run({kDown}).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(attempts_, 0u);
}

TEST_F(RetryTest, StopEndsAWait) {
  options_.on_retry = [this](const absl::Status&, absl::Duration) { stop_.Set(); };
  EXPECT_EQ(Run({kDown}).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(attempts_, 1u);
  EXPECT_EQ(clock_.Now(), absl::ZeroDuration());
}

TEST(StatusClassTest, NoCodeIsBothLastingAndPassing) {
  using Code = absl::StatusCode;
  std::vector<Code> lasting, passing;
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<Code>(code), "why");
    if (IsLasting(status)) lasting.push_back(status.code());
    if (IsPassing(status)) passing.push_back(status.code());
  }
  EXPECT_THAT(lasting,
              ElementsAre(Code::kInvalidArgument, Code::kPermissionDenied,
                          Code::kFailedPrecondition, Code::kUnimplemented, Code::kUnauthenticated));
  EXPECT_THAT(passing, ElementsAre(Code::kCancelled, Code::kDeadlineExceeded,
                                   Code::kResourceExhausted, Code::kUnavailable));
  EXPECT_FALSE(IsLasting(absl::OkStatus()) || IsPassing(absl::OkStatus()));
}

TEST(RetryAfterTest, HintIsRoundedUpAndKeptWithinItsBounds) {
  const absl::Status full = absl::ResourceExhaustedError("full");
  EXPECT_EQ(RetryAfter(full), std::nullopt);
  EXPECT_EQ(RetryAfter(absl::OkStatus()), std::nullopt);
  const absl::Status hinted = WithRetryAfter(full, absl::Microseconds(1200));
  EXPECT_EQ(hinted.code(), full.code());
  EXPECT_EQ(hinted.message(), full.message());
  EXPECT_EQ(RetryAfter(hinted), absl::Milliseconds(2));
  EXPECT_EQ(RetryAfter(WithRetryAfter(full, -absl::Seconds(1))), absl::Milliseconds(1));
  EXPECT_EQ(RetryAfter(WithRetryAfter(full, absl::InfiniteDuration())), absl::Hours(1));
}

TEST(RetryAfterDeathTest, SuccessHasNoHint) {
  EXPECT_DEATH(WithRetryAfter(absl::OkStatus(), absl::Seconds(1)), "needs no repetition");
}

}  // namespace
}  // namespace pompc
