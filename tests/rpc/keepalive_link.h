#ifndef POMPC_TESTS_RPC_KEEPALIVE_LINK_H_
#define POMPC_TESTS_RPC_KEEPALIVE_LINK_H_

#include <memory>

#include "common/base/threads.h"
#include "common/rpc/server.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "tests/rpc/append_client.h"
#include "tests/rpc/echo_service.h"
#include "tests/rpc/tcp_proxy.h"

namespace pompc::rpc {

// A client and a server with a proxy between them. gRPC keeps its own time, so tests with this wait
// for real.
class KeepaliveLink {
 public:
  // With the times that are in use.
  KeepaliveLink() : KeepaliveLink(ServerOptions(), ChannelOptions()) {}

  KeepaliveLink(ServerOptions server_options, const ChannelOptions& channel_options) {
    server_options.listen = "127.0.0.1:0";
    server_ = *Server::Start(server_options, {&service_});
    proxy_ = std::make_unique<TcpProxy>(server_->port());
    client_ = std::make_unique<AppendClient>(Endpoint(proxy_->address()).Channel(channel_options));
  }

  EchoService& service() { return service_; }
  TcpProxy& proxy() { return *proxy_; }
  AppendClient& client() { return *client_; }

 private:
  EchoService service_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<TcpProxy> proxy_;
  std::unique_ptr<AppendClient> client_;
};

// A stream on which nothing is sent for `idle` still works then.
inline void ExpectIdleStreamLives(KeepaliveLink& link, absl::Duration idle) {
  ASSERT_TRUE(link.client().RoundTrip(1));
  const absl::Duration until = Clock::Real()->Now() + idle;
  EXPECT_FALSE(link.client().ended().WaitUntil(Clock::Real(), until)) << link.client().Finish();
  EXPECT_TRUE(link.client().RoundTrip(2));
}

// From now on nothing comes through, and `event` is set within `limit`.
inline void ExpectFreezeSets(Event& event, KeepaliveLink& link, absl::Duration limit) {
  link.proxy().Freeze();
  EXPECT_TRUE(event.WaitUntil(Clock::Real(), Clock::Real()->Now() + limit));
}

}  // namespace pompc::rpc

#endif  // POMPC_TESTS_RPC_KEEPALIVE_LINK_H_
