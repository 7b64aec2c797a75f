#include "common/io/listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/io/low_descriptor_limit.h"

namespace pompc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::Duration kStart = absl::Seconds(100);

std::unique_ptr<Listener> Opened(const std::string& host = "127.0.0.1") {
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Open({host, 0});
  EXPECT_TRUE(listener.ok()) << listener.status();
  return *std::move(listener);
}

// The number the next descriptor gets.
int NextDescriptor() {
  const int fd = dup(0);
  close(fd);
  return fd;
}

size_t Polled(const Listener& listener, absl::Duration now) {
  std::vector<pollfd> polled;
  listener.AddTo(&polled, now);
  return polled.size();
}

TEST(Listener, AcceptsWhatConnects) {
  const auto listener = Opened();
  EXPECT_GT(listener->address().port, 0);
  EXPECT_FALSE(listener->Accept(kStart).valid());
  const auto client = listener->ConnectToSelf(0);
  ASSERT_TRUE(client.ok()) << client.status();
  const Descriptor connection = listener->Accept(kStart);
  ASSERT_TRUE(connection.valid());
  EXPECT_NE(fcntl(connection.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(connection.get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_EQ(write(connection.get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(read(client->get(), &byte, 1), 1);
  EXPECT_FALSE(listener->Accept(kStart).valid());
}

TEST(Listener, EveryAddressOfAHostHasThePort) {
  const auto listener = Opened("localhost");
  const size_t addresses = Polled(*listener, kStart);
  ASSERT_GE(addresses, 1u);
  for (size_t turn = 0; turn < addresses; ++turn) {
    const auto client = listener->ConnectToSelf(turn);
    ASSERT_TRUE(client.ok()) << client.status();
    EXPECT_TRUE(listener->Accept(kStart).valid());
  }
}

TEST(Listener, AWildcardIsReachedOverLoopback) {
  const auto listener = Opened("0.0.0.0");
  const auto client = listener->ConnectToSelf(0);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE(listener->Accept(kStart).valid());
}

TEST(Listener, GoesOnAfterDescriptorsRanOut) {
  const auto listener = Opened();
  const auto client = listener->ConnectToSelf(0);
  ASSERT_TRUE(client.ok()) << client.status();
  {
    const LowDescriptorLimit low(NextDescriptor());
    EXPECT_FALSE(listener->Accept(kStart).valid());
    EXPECT_EQ(listener->shortage().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(listener->ConnectToSelf(0).status().code(), absl::StatusCode::kResourceExhausted);
    // It does not burn the processor meanwhile.
    EXPECT_EQ(Polled(*listener, kStart), 0u);
    EXPECT_GT(listener->paused_until(kStart), kStart);
    EXPECT_FALSE(listener->Accept(listener->paused_until(kStart)).valid());
  }
  const absl::Duration later = kStart + absl::Seconds(1);
  EXPECT_EQ(listener->paused_until(later), absl::InfiniteDuration());
  EXPECT_EQ(Polled(*listener, later), 1u);
  EXPECT_TRUE(listener->Accept(later).valid());
  EXPECT_TRUE(listener->shortage().ok());
}

TEST(Listener, BusyPortIsNamed) {
  std::unique_ptr<Listener> first = Opened();
  const ListenAddress address = first->address();
  const absl::Status busy = Listener::Open(address).status();
  EXPECT_EQ(busy.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(busy.message()),
              AllOf(HasSubstr(address.ToString()), HasSubstr("in use")));
  first.reset();
  EXPECT_TRUE(Listener::Open(address).ok());
}

TEST(Listener, AnAddressOfAnotherMachineIsNamed) {
  const absl::Status status = Listener::Open({"192.0.2.1", 0}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("192.0.2.1:0"));
}

TEST(Listener, UnknownHostIsNamed) {
  const absl::Status status = Listener::Open({"no-such-host.invalid", 0}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no-such-host.invalid"));
}

}  // namespace
}  // namespace pompc
