#include "tests/rpc/keepalive_link.h"

namespace pompc::rpc {
namespace {

// The times that are in use: a vanished peer is noticed in 20 s, an idle stream lives for minutes.

TEST(Keepalive, IdleStreamLivesForMinutesAndAVanishedPeerIsNoticedByBoth) {
  KeepaliveLink link({}, {});
  ExpectIdleStreamLives(link, absl::Seconds(130));
  const absl::Duration deadline = Clock::Real()->Now() + absl::Seconds(20);
  ExpectFreezeSets(link.client().ended(), link, absl::Seconds(20));
  EXPECT_TRUE(link.service().stream_lost().WaitUntil(Clock::Real(), deadline));
}

TEST(Keepalive, PingsOfTheClientAloneAreAllowed) {
  KeepaliveLink link({.keepalive_time = absl::Hours(1)}, {});
  ExpectIdleStreamLives(link, absl::Seconds(65));
  ExpectFreezeSets(link.client().ended(), link, absl::Seconds(20));
}

TEST(Keepalive, PingsOfTheServerAloneAreEnough) {
  KeepaliveLink link({}, {.keepalive_time = absl::Hours(1)});
  ASSERT_TRUE(link.client().RoundTrip(1));
  ExpectFreezeSets(link.service().stream_lost(), link, absl::Seconds(20));
}

// What the server's settings are there to avoid.
TEST(Keepalive, ClientThatPingsTooOftenIsCutOff) {
  KeepaliveLink link(
      {.keepalive_time = absl::Hours(1), .min_client_ping_interval = absl::Hours(1)},
      {.keepalive_time = absl::Milliseconds(100), .keepalive_timeout = absl::Seconds(5)});
  ASSERT_TRUE(link.client().RoundTrip(1));
  EXPECT_TRUE(
      link.client().ended().WaitUntil(Clock::Real(), Clock::Real()->Now() + absl::Seconds(10)));
}

}  // namespace
}  // namespace pompc::rpc
