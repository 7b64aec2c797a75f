#include "common/rpc/unary.h"

#include <string>

#include "common/listen_address.h"
#include "common/rpc/server.h"
#include "common/rpc/wire.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "tests/rpc/echo_service.h"

namespace pompc::rpc {
namespace {

class UnaryTest : public ::testing::Test {
 protected:
  UnaryTest()
      : server_(*Server::Start({}, {&service_})),
        stub_(proto::ReplayService::NewStub(server_->InProcessChannel())) {}

  absl::StatusOr<proto::ShardInfo> Info(const std::string& run_id, absl::Duration timeout) {
    proto::InfoRequest request;
    *request.mutable_header() = MakeHeader(run_id);
    return CallUnary(*stub_, &proto::ReplayService::Stub::Info, request, timeout);
  }

  EchoService service_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<proto::ReplayService::Stub> stub_;
};

TEST_F(UnaryTest, ReplyComesBack) {
  const auto info = Info("run", absl::Seconds(10));
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->shard_index(), 7u);
}

TEST_F(UnaryTest, ErrorOfTheCoreReachesTheCaller) {
  EXPECT_EQ(Info("bad", absl::Seconds(10)).status(),
            absl::InvalidArgumentError("observation[2] is nan"));
}

TEST_F(UnaryTest, CallEndsAtItsDeadline) {
  EXPECT_EQ(Info("never", absl::Milliseconds(20)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  service_.Release();
}

TEST_F(UnaryTest, NobodyThereIsUnavailableAtOnce) {
  // A port that was free a moment ago.
  std::string address;
  {
    EchoService service;
    address = (*Server::Start({.listen = "127.0.0.1:0"}, {&service}))->address();
  }
  const auto stub = proto::ReplayService::NewStub(Endpoint(address).Channel());
  const auto info =
      CallUnary(*stub, &proto::ReplayService::Stub::Info, proto::InfoRequest(), absl::Seconds(30));
  EXPECT_EQ(info.status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(UnaryTest, FinishMovesTheReplyOut) {
  class Service : public proto::ReplayService::CallbackService {
    grpc::ServerUnaryReactor* Info(grpc::CallbackServerContext* context,
                                   const proto::InfoRequest* request,
                                   proto::ShardInfo* reply) override {
      proto::ShardInfo info;
      info.set_windows(3);
      return FinishUnary<proto::ShardInfo>(context, info, reply);
    }
  };
  Service service;
  const auto server = *Server::Start({}, {&service});
  const auto stub = proto::ReplayService::NewStub(server->InProcessChannel());
  const auto info =
      CallUnary(*stub, &proto::ReplayService::Stub::Info, proto::InfoRequest(), absl::Seconds(10));
  EXPECT_EQ(info.value().windows(), 3u);
}

}  // namespace
}  // namespace pompc::rpc
