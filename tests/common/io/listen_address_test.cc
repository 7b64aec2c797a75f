#include <string>

#include "common/io/listener.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::HasSubstr;

TEST(ListenAddress, ParsesHostAndPort) {
  EXPECT_EQ(ParseListenAddress("127.0.0.1:0")->ToString(), "127.0.0.1:0");
  EXPECT_EQ(ParseListenAddress("[::1]:80")->ToString(), "[::1]:80");
  EXPECT_EQ(ParseListenAddress("localhost:65535")->port, 65535);
}

TEST(ListenAddress, RefusesWhatIsNone) {
  for (const char* text :
       {"", "host", ":80", "host:", "host:x", "host:-1", "host:65536", "::1:80", "[::1]",
        "host: 80", "host:+80", "host:080", "host:0x50", "host:8e1", "host:80 "}) {
    const auto address = ParseListenAddress(text);
    EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(address.status().message()), HasSubstr("allowed: host:port"));
  }
}

TEST(ListenAddress, BeyondLoopbackNeedsInsecure) {
  for (const char* text : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1"}) {
    const auto address = CheckListenAddress(text, /*allowed=*/false, "give --insecure");
    EXPECT_EQ(address.status().code(), absl::StatusCode::kFailedPrecondition) << text;
    EXPECT_THAT(std::string(address.status().message()), HasSubstr("--insecure"));
    EXPECT_TRUE(CheckListenAddress(text, /*allowed=*/true, "").ok());
  }
  for (const char* text : {"127.0.0.1:1", "127.1.2.3:1", "localhost:1", "[::1]:1"}) {
    EXPECT_TRUE(CheckListenAddress(text, /*allowed=*/false, "").ok()) << text;
  }
}

}  // namespace
}  // namespace pompc
