#include "tests/rpc/keepalive_link.h"

namespace pompc::rpc {
namespace {

// Pings of one side count as traffic for the other, so each side is tested while the other is
// silent. Limits are generous, since the times that matter are in the slow test (and clients, too,
// ping at most once a second).
constexpr absl::Duration kTime = absl::Milliseconds(100);
constexpr absl::Duration kTimeout = absl::Milliseconds(500);
constexpr absl::Duration kNever = absl::Hours(1);

TEST(Keepalive, PingsOfTheClientFindAVanishedServer) {
  KeepaliveLink link({.keepalive_time = kNever, .min_client_ping_interval = kTime / 2},
                     {.keepalive_time = kTime, .keepalive_timeout = kTimeout});
  ASSERT_TRUE(link.client().RoundTrip(1));
  ExpectFreezeSets(link.client().ended(), link, absl::Seconds(10));
  EXPECT_EQ(link.client().Finish().code(), absl::StatusCode::kUnavailable);
}

TEST(Keepalive, PingsOfTheServerFindAVanishedClient) {
  KeepaliveLink link({.keepalive_time = kTime, .keepalive_timeout = kTimeout},
                     {.keepalive_time = kNever});
  ASSERT_TRUE(link.client().RoundTrip(1));
  ExpectFreezeSets(link.service().stream_lost(), link, absl::Seconds(10));
}

}  // namespace
}  // namespace pompc::rpc
