#include "tests/rpc/keepalive_link.h"

namespace pompc::rpc {
namespace {

TEST(Keepalive, IdleStreamLivesForMinutesAndHalfOpenIsNoticedInTwentySeconds) {
  KeepaliveLink link;
  ExpectIdleStreamLives(link, absl::Seconds(130));
  ExpectHalfOpenConnectionIsNoticed(link, absl::Seconds(20));
}

TEST(Keepalive, HalfOpenIsNoticedRightAfterTraffic) {
  KeepaliveLink link;
  ASSERT_TRUE(link.client().RoundTrip(1));
  ExpectHalfOpenConnectionIsNoticed(link, absl::Seconds(20));
}

}  // namespace
}  // namespace pompc::rpc
