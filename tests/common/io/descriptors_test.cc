#include "common/io/descriptors.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

#include "gtest/gtest.h"
#include "tests/common/io/low_descriptor_limit.h"

namespace pompc {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(Descriptors, TheLimitIsRaisedToTheMostAllowed) {
  rlimit most{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &most), 0);
  const LowDescriptorLimit low(100);
  ASSERT_EQ(DescriptorLimit(), 100);
  RaiseDescriptorLimit();
  rlimit now{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &now), 0);
  EXPECT_EQ(now.rlim_cur, most.rlim_max);
  EXPECT_EQ(now.rlim_max, most.rlim_max);
}

TEST(Descriptors, ALimitThatIsTooLowToServeIsNamed) {
  {
    const LowDescriptorLimit low(63);
    const absl::Status status = CheckDescriptorLimit();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(status.message(),
              "the limit of open file descriptors (ulimit -n) is 63; at least 64 are needed");
  }
  const LowDescriptorLimit low(64);
  EXPECT_TRUE(CheckDescriptorLimit().ok());
}

TEST(Descriptors, SomeAreAlwaysLeftForFiles) {
  for (const int limit : {64, 256, 1024, 4096}) {
    const LowDescriptorLimit low(limit);
    EXPECT_GE(ReservedDescriptors(), 16);
    EXPECT_EQ(ConnectionDescriptorBound() + ReservedDescriptors(), limit);
    EXPECT_GE(ConnectionDescriptorBound(), limit / 2);
  }
}

TEST(Descriptors, ADescriptorIsClosedOnce) {
  const int fd = dup(0);
  ASSERT_GE(fd, 0);
  {
    Descriptor first(fd);
    Descriptor second(std::move(first));
    EXPECT_FALSE(first.valid());
    Descriptor third;
    third = std::move(second);
    EXPECT_EQ(third.get(), fd);
    EXPECT_TRUE(IsOpen(fd));
  }
  EXPECT_FALSE(IsOpen(fd));
  Descriptor released(dup(0));
  const int kept = released.Release();
  released.Reset();
  EXPECT_TRUE(IsOpen(kept));
  close(kept);
}

TEST(Descriptors, AWakerIsReadableUntilCleared) {
  PollWaker waker;
  ASSERT_TRUE(waker.Open().ok());
  pollfd polled = {waker.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&polled, 1, 0), 0);
  waker.Wake();
  waker.Wake();
  EXPECT_EQ(poll(&polled, 1, 0), 1);
  waker.Clear();
  EXPECT_EQ(poll(&polled, 1, 0), 0);
}

TEST(PollTimeout, RoundsUpAndIsBounded) {
  EXPECT_EQ(PollTimeout(absl::Microseconds(1500)), 2);
  EXPECT_EQ(PollTimeout(absl::ZeroDuration()), 1);
  EXPECT_EQ(PollTimeout(-absl::Seconds(1)), 0);
  EXPECT_EQ(PollTimeout(-absl::InfiniteDuration()), 0);
  EXPECT_EQ(PollTimeout(absl::InfiniteDuration()), 60001);
}

}  // namespace
}  // namespace pompc
