#include <string>

#include "common/io/listener.h"
#include "common/rpc/call.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "proto/run.grpc.pb.h"
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

TEST_F(UnaryTest, HintOfARefusalReachesTheCaller) {
  const absl::Status full = Info("full", absl::Seconds(10)).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RetryAfter(full), absl::Milliseconds(30));
  EXPECT_EQ(RetryAfter(Info("bad", absl::Seconds(10)).status()), std::nullopt);
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

// Whichever side's message is no text, the error names it.
TEST_F(UnaryTest, RequestThatIsNoTextIsNamed) {
  const absl::Status status = Info("run-\xff", absl::Seconds(10)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(status.message(),
            "the server cannot read this InfoRequest: its field header.run_id is not UTF-8 text");
}

// Puts bytes that are no text into its replies: GetRun through FinishUnary's escaping, Register
// past it.
class NoTextService : public proto::RunService::CallbackService {
  grpc::ServerUnaryReactor* GetRun(grpc::CallbackServerContext* context,
                                   const proto::GetRunRequest* request,
                                   proto::GetRunReply* reply) override {
    proto::GetRunReply run;
    run.mutable_status()->set_run_dir("/tmp/\xff");
    return FinishUnary<proto::GetRunReply>(context, run, reply);
  }
  grpc::ServerUnaryReactor* Register(grpc::CallbackServerContext* context,
                                     const proto::RegisterRequest* request,
                                     proto::RegisterReply* reply) override {
    reply->set_run_id("\xff");
    return FinishUnary(context, absl::OkStatus());
  }
};

TEST_F(UnaryTest, ReplyThatIsNoTextIsEscapedOrNamed) {
  using Stub = proto::RunService::Stub;
  NoTextService service;
  const auto server = *Server::Start({}, {&service});
  const auto stub = proto::RunService::NewStub(server->InProcessChannel());
  const auto run = CallUnary(*stub, &Stub::GetRun, proto::GetRunRequest(), absl::Seconds(10));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->status().run_dir(), "/tmp/\\xff");
  const auto reply = CallUnary(*stub, &Stub::Register, proto::RegisterRequest(), absl::Seconds(10));
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(reply.status().message()),
              ::testing::HasSubstr("RegisterReply cannot be read: a text in it is not UTF-8"));
}

TEST_F(UnaryTest, MethodThatTheServerDoesNotHaveIsNamed) {
  const auto stub = proto::RunService::NewStub(server_->InProcessChannel());
  const auto run = CallUnary(*stub, &proto::RunService::Stub::GetRun, proto::GetRunRequest(),
                             absl::Seconds(10));
  EXPECT_EQ(run.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(run.status().message()), ::testing::HasSubstr("GetRunRequest"));
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
