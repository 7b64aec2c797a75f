#include "actor/core/mailbox.h"

#include "common/base/threads.h"
#include "gtest/gtest.h"

namespace pompc::actor {
namespace {

TEST(MailboxTest, EventsOfOneEnvironmentShareOneLetter) {
  FakeClock clock;
  Mailbox mailbox(10, 4, &clock);
  clock.Advance(absl::Seconds(1));
  for (int i = 0; i < 1000; ++i) mailbox.OnRoom(12);
  mailbox.OnPlans(std::vector<int>{2, 3}, absl::UnavailableError("x"));
  mailbox.OnRoom(10);
  mailbox.OnRefused(12, absl::FailedPreconditionError("first"));
  mailbox.OnRefused(12, absl::InvalidArgumentError("second"));
  std::vector<Letter> letters;
  mailbox.Take(clock.Now(), &letters);
  ASSERT_EQ(letters.size(), 3u);
  EXPECT_EQ(letters[0].slot, 2);
  EXPECT_TRUE(letters[0].room);
  EXPECT_TRUE(letters[0].plan_done);
  EXPECT_EQ(letters[0].plan_status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(letters[0].plan_time, absl::Seconds(1));
  EXPECT_EQ(letters[0].refusal, absl::InvalidArgumentError("second"));
  EXPECT_EQ(letters[1].slot, 3);
  EXPECT_TRUE(letters[1].plan_done);
  EXPECT_FALSE(letters[1].room);
  EXPECT_EQ(letters[2].slot, 0);
  EXPECT_FALSE(letters[2].plan_done);
  EXPECT_TRUE(letters[2].refusal.ok());
}

TEST(MailboxTest, TakenLettersDoNotComeBack) {
  FakeClock clock;
  Mailbox mailbox(0, 2, &clock);
  std::vector<Letter> letters;
  mailbox.OnRoom(1);
  mailbox.Take(clock.Now(), &letters);
  mailbox.OnRoom(1);
  mailbox.Take(clock.Now(), &letters);
  EXPECT_EQ(letters.size(), 1u);
  mailbox.Take(clock.Now(), &letters);
  EXPECT_TRUE(letters.empty());
}

TEST(MailboxTest, WakeBeforeTakeIsNotLost) {
  FakeClock clock;
  Mailbox mailbox(0, 1, &clock);
  mailbox.Wake();
  std::vector<Letter> letters;
  mailbox.Take(absl::InfiniteDuration(), &letters);
  EXPECT_TRUE(letters.empty());
}

TEST(MailboxTest, TakeWaitsForALetterOrTheDeadline) {
  FakeClock clock;
  Mailbox mailbox(0, 1, &clock);
  std::vector<Letter> letters;
  {
    Thread taker("taker", [&] { mailbox.Take(absl::InfiniteDuration(), &letters); });
    clock.AwaitWaiters(1);
    mailbox.OnRoom(0);
  }
  EXPECT_EQ(letters.size(), 1u);
  {
    Thread taker("taker", [&] { mailbox.Take(clock.Now() + absl::Seconds(1), &letters); });
    clock.AwaitWaiters(1);
    clock.Advance(absl::Seconds(1));
  }
  EXPECT_TRUE(letters.empty());
}

}  // namespace
}  // namespace pompc::actor
