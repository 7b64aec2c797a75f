#include "tests/rpc/keepalive_link.h"

namespace pompc::rpc {
namespace {

TEST(Keepalive, IdleStreamLivesThroughItsPingsAndHalfOpenIsNoticedAfterThem) {
  KeepaliveLink link(absl::Milliseconds(100), absl::Milliseconds(500));
  ExpectIdleStreamLives(link, absl::Milliseconds(500));
  // Generous, since the time that matters is in the slow test: this one may run on a busy machine.
  ExpectHalfOpenConnectionIsNoticed(link, absl::Seconds(10));
}

}  // namespace
}  // namespace pompc::rpc
