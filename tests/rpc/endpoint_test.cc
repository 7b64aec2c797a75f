#include "common/rpc/endpoint.h"

#include <string>

#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "grpcpp/support/channel_arguments.h"
#include "gtest/gtest.h"

namespace pompc::rpc {
namespace {

using ::testing::HasSubstr;

TEST(Endpoint, ListsAreSplit) {
  const auto endpoints = ParseEndpoints("--replay", "a:1, b.c:65535,[::1]:7,dns:///planner:5");
  ASSERT_TRUE(endpoints.ok()) << endpoints.status();
  ASSERT_EQ(endpoints->size(), 4u);
  EXPECT_EQ((*endpoints)[1].address(), "b.c:65535");
  EXPECT_EQ((*endpoints)[3].address(), "dns:///planner:5");
}

TEST(Endpoint, WhatIsNoAddressIsNamedWithItsFlag) {
  for (const char* text : {"", "a", "a:", ":1", "a:0", "a:65536", "a:1,,b:2", "a:b",
                           "a: 1", "a:+1", "a:080", "a:0x50", "a:8e1", "a\xff:1",
                           "dns:///\xff:1"}) {
    const auto endpoints = ParseEndpoints("--replay", text);
    EXPECT_EQ(endpoints.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(endpoints.status().message()), HasSubstr("--replay: \""));
  }
}

TEST(Endpoint, AnAddressThatIsGivenTwiceIsRefused) {
  const auto endpoints = ParseEndpoints("--replay", "a:1,b:1, a:1");
  EXPECT_EQ(endpoints.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(endpoints.status().message(),
            "--replay: \"a:1\" is given twice; expected each address once");
  EXPECT_TRUE(ParseEndpoints("--replay", "a:1,a:11,b:1").ok());
}

TEST(Endpoint, EmptyIsNowhere) {
  EXPECT_TRUE(Endpoint().empty());
  EXPECT_FALSE(Endpoint("a:1").empty());
}

TEST(Endpoint, DefaultsFindAVanishedPeerInTwentySecondsAndRespectTheServer) {
  const ChannelOptions options;
  EXPECT_LT(options.keepalive_time + options.keepalive_timeout, absl::Seconds(20));
  const grpc::ChannelArguments made = MakeChannelArguments(options);
  const grpc_channel_args args = made.c_channel_args();
  int checked = 0;
  for (size_t i = 0; i < args.num_args; ++i) {
    const std::string key = args.args[i].key;
    if (key == GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS) {
      EXPECT_EQ(args.args[i].value.integer, 1);
      ++checked;
    } else if (key == GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA) {
      EXPECT_EQ(args.args[i].value.integer, 0);
      ++checked;
    } else if (key == GRPC_ARG_KEEPALIVE_TIME_MS) {
      EXPECT_EQ(args.args[i].value.integer, 10000);
      ++checked;
    }
  }
  EXPECT_EQ(checked, 3);
}

TEST(EndpointDeathTest, NowhereHasNoChannel) {
  EXPECT_DEATH(Endpoint().Channel(), "nowhere to connect to");
}

}  // namespace
}  // namespace pompc::rpc
