#include "common/rpc/reconnector.h"

#include "gtest/gtest.h"

namespace pompc::rpc {
namespace {

using State = Reconnector::State;

class ReconnectorTest : public ::testing::Test {
 protected:
  static ReconnectOptions Options() {
    return {.backoff = {absl::Seconds(1), absl::Seconds(8), 2.0},
            .seed = 3,
            .max_age = absl::Minutes(10),
            .progress_timeout = absl::Seconds(30)};
  }
  // Opens a stream and lets it fail; returns the pause after it.
  absl::Duration Fail(const absl::Status& status) {
    reconnector_.OnOpened(now_);
    EXPECT_EQ(reconnector_.OnEnded(status, now_), status);
    return reconnector_.retry_at() - now_;
  }
  bool GivesUp(bool answer_due) {
    return reconnector_.GivesUp(now_, [answer_due] { return answer_due; });
  }

  const absl::Status lost_ = absl::UnavailableError("connection refused");
  Reconnector reconnector_{Options()};
  absl::Duration now_ = absl::Hours(5);
};

TEST_F(ReconnectorTest, FirstStreamIsOpenedAtOnce) {
  EXPECT_EQ(reconnector_.state(), State::kClosed);
  EXPECT_LE(reconnector_.retry_at(), now_);
  EXPECT_TRUE(reconnector_.error().ok());
  EXPECT_FALSE(reconnector_.answered());
}

TEST_F(ReconnectorTest, PausesGrowUntilAServerAnswers) {
  // Each is between a half and the whole of its bound.
  for (const int bound : {1, 2, 4, 8, 8}) {
    const absl::Duration pause = Fail(lost_);
    EXPECT_GE(pause, absl::Seconds(bound) / 2);
    EXPECT_LE(pause, absl::Seconds(bound));
    EXPECT_EQ(reconnector_.error(), lost_);
  }
  reconnector_.OnOpened(now_);
  reconnector_.OnAnswer(now_);
  EXPECT_TRUE(reconnector_.error().ok());
  EXPECT_TRUE(reconnector_.answered());
  reconnector_.OnEnded(lost_, now_).IgnoreError();
  EXPECT_LE(reconnector_.retry_at(), now_ + absl::Seconds(1));
  EXPECT_TRUE(reconnector_.answered()) << "a server has once";
}

TEST_F(ReconnectorTest, StreamThatTheServerEndsIsAFailureToo) {
  reconnector_.OnOpened(now_);
  EXPECT_EQ(reconnector_.OnEnded(absl::OkStatus(), now_).code(), absl::StatusCode::kUnavailable);
  EXPECT_GT(reconnector_.retry_at(), now_);
}

TEST_F(ReconnectorTest, OldStreamIsRenewedWithoutAPauseAndWithoutAnError) {
  reconnector_.OnOpened(now_);
  EXPECT_EQ(reconnector_.NextDeadline(/*answer_due=*/false), now_ + absl::Minutes(10));
  now_ += absl::Minutes(10) - absl::Seconds(1);
  EXPECT_FALSE(GivesUp(false));
  now_ += absl::Seconds(1);
  EXPECT_TRUE(GivesUp(false));
  EXPECT_EQ(reconnector_.state(), State::kGivenUp);
  EXPECT_FALSE(GivesUp(false)) << "once is enough";
  EXPECT_TRUE(reconnector_.OnEnded(absl::CancelledError(""), now_).ok());
  EXPECT_TRUE(reconnector_.error().ok());
  EXPECT_EQ(reconnector_.retry_at(), now_);
}

TEST_F(ReconnectorTest, RenewalKeepsAnErrorThatNoServerHasRefuted) {
  Fail(lost_);
  reconnector_.OnOpened(now_);
  now_ += absl::Minutes(10);
  EXPECT_TRUE(GivesUp(false));
  EXPECT_TRUE(reconnector_.OnEnded(absl::CancelledError(""), now_).ok());
  EXPECT_EQ(reconnector_.error(), lost_);
}

TEST_F(ReconnectorTest, SilenceEndsAStreamThatOwesAnAnswer) {
  reconnector_.OnOpened(now_);
  now_ += absl::Seconds(10);
  reconnector_.OnProgress(now_);
  EXPECT_EQ(reconnector_.NextDeadline(/*answer_due=*/true), now_ + absl::Seconds(30));
  now_ += absl::Seconds(29);
  EXPECT_FALSE(GivesUp(true));
  now_ += absl::Seconds(1);
  EXPECT_TRUE(GivesUp(true));
  EXPECT_EQ(reconnector_.error().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(reconnector_.OnEnded(absl::CancelledError(""), now_), reconnector_.error());
  EXPECT_EQ(reconnector_.retry_at(), now_) << "the silence was pause enough";
}

TEST_F(ReconnectorTest, SilenceCountsAnewWhereNoAnswerWasDue) {
  reconnector_.OnOpened(now_);
  now_ += absl::Seconds(31);
  EXPECT_FALSE(GivesUp(false));
  now_ += absl::Seconds(29);
  EXPECT_FALSE(GivesUp(true));
  now_ += absl::Seconds(1);
  EXPECT_TRUE(GivesUp(true));
}

TEST_F(ReconnectorTest, AnswerDueIsAskedOnlyAfterASilence) {
  reconnector_.OnOpened(now_);
  now_ += absl::Seconds(29);
  EXPECT_FALSE(reconnector_.GivesUp(now_, []() -> bool {
    ADD_FAILURE() << "asked too early";
    return true;
  }));
}

TEST_F(ReconnectorTest, LateAnswerMakesAStuckStreamARenewedOne) {
  reconnector_.OnOpened(now_);
  now_ += absl::Seconds(30);
  EXPECT_TRUE(GivesUp(true));
  reconnector_.OnAnswer(now_);
  EXPECT_TRUE(reconnector_.OnEnded(absl::CancelledError(""), now_).ok());
  EXPECT_TRUE(reconnector_.error().ok());
}

}  // namespace
}  // namespace pompc::rpc
