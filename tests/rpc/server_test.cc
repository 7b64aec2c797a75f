#include "common/rpc/server.h"

#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "common/base/threads.h"
#include "common/io/descriptors.h"
#include "common/rpc/call.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "gtest/gtest.h"
#include "tests/common/io/low_descriptor_limit.h"
#include "tests/rpc/append_client.h"
#include "tests/rpc/echo_service.h"

namespace pompc::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::unique_ptr<Server> Started(EchoService* service, const std::string& listen = "127.0.0.1:0") {
  auto server = Server::Start({.listen = listen}, {service});
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

absl::StatusOr<proto::ShardInfo> AskInfo(const std::shared_ptr<grpc::Channel>& channel,
                                         const proto::InfoRequest& request = {}) {
  return CallUnary(*proto::ReplayService::NewStub(channel), &proto::ReplayService::Stub::Info,
                   request, absl::Seconds(10));
}

int ThreadsOfThisProcess() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

TEST(Server, ServesInProcessWithoutAPort) {
  EchoService service;
  const auto server = Started(&service, "");
  EXPECT_EQ(server->address(), "");
  EXPECT_EQ(server->port(), 0);
  EXPECT_TRUE(AskInfo(server->InProcessChannel()).ok());
  EXPECT_TRUE(AskInfo(server->InProcessEndpoint().Channel()).ok());
}

TEST(Server, ServesOnALoopbackPortItPicks) {
  EchoService a, b;
  const auto first = Started(&a), second = Started(&b);
  EXPECT_GT(first->port(), 0);
  EXPECT_NE(first->port(), second->port());
  EXPECT_EQ(first->address(), "127.0.0.1:" + std::to_string(first->port()));
  EXPECT_TRUE(AskInfo(Endpoint(first->address()).Channel()).ok());
  EXPECT_TRUE(AskInfo(first->InProcessChannel()).ok());
}

TEST(Server, BusyPortIsNamed) {
  EchoService a, b;
  const auto first = Started(&a);
  const auto second = Server::Start({.listen = first->address()}, {&b});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr(first->address()), HasSubstr("in use")));
}

TEST(Server, BeyondLoopbackNeedsInsecure) {
  EchoService service;
  const auto refused = Server::Start({.listen = "0.0.0.0:0"}, {&service});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()),
              AllOf(HasSubstr("0.0.0.0:0"), HasSubstr("--insecure")));
  EXPECT_TRUE(Server::Start({.listen = "0.0.0.0:0", .insecure = true}, {&service}).ok());
}

TEST(Server, WhatIsNoAddressIsRefused) {
  EchoService service;
  EXPECT_EQ(Server::Start({.listen = "here"}, {&service}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Server, HealthFollowsSetServing) {
  EchoService service;
  const auto server = Started(&service);
  EXPECT_TRUE(CheckHealth(server->address()).ok());
  server->SetServing("", false);
  const absl::Status status = CheckHealth(server->address());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not serving"));
  server->SetServing("", true);
  EXPECT_TRUE(CheckHealth(server->address()).ok());
}

TEST(Server, HealthIsAskedOfTheRightOne) {
  EchoService service;
  const auto server =
      *Server::Start({.listen = "127.0.0.1:0", .health_service = "echo"}, {&service});
  EXPECT_TRUE(CheckHealth(server->address(), "echo").ok());
  EXPECT_TRUE(CheckHealth(server->address()).ok());
  const absl::Status other = CheckHealth(server->address(), "another");
  EXPECT_EQ(other.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(other.message()), HasSubstr("serves, but not as another"));
  server->SetServing("", false);
  EXPECT_THAT(std::string(CheckHealth(server->address(), "echo").message()),
              HasSubstr("not serving"));
}

TEST(Server, HealthIsAboutNewConnections) {
  EchoService service;
  EXPECT_TRUE(Started(&service, "")->Health().ok());
  const auto server = *Server::Start(
      {.listen = "127.0.0.1:0", .self_check_interval = absl::Milliseconds(20)}, {&service});
  const auto channel = Endpoint(server->address()).Channel();
  ASSERT_TRUE(AskInfo(channel).ok());
  {
    const LowDescriptorLimit low(200);
    std::vector<Descriptor> filling;
    for (int fd = 0; fd < ConnectionDescriptorBound(); fd = filling.back().get()) {
      filling.emplace_back(dup(0));
      ASSERT_TRUE(filling.back().valid());
    }
    const absl::Duration limit = Clock::Real()->Now() + absl::Seconds(20);
    while (server->Health().ok() && Clock::Real()->Now() < limit) {
    }
    EXPECT_THAT(std::string(server->Health().message()), HasSubstr("refuses connections"));
    EXPECT_FALSE(CheckHealth(server->address()).ok());
    // Those that were there before are served.
    EXPECT_TRUE(AskInfo(channel).ok());
  }
  EXPECT_TRUE(AskInfo(Endpoint(server->address()).Channel()).ok());
  const absl::Duration limit = Clock::Real()->Now() + absl::Seconds(20);
  while (!CheckHealth(server->address()).ok() && Clock::Real()->Now() < limit) {
  }
  EXPECT_TRUE(server->Health().ok());
}

TEST(Server, ReflectionListsTheServices) {
  EchoService service;
  const auto server = Started(&service);
  grpc::GenericStub stub(server->InProcessChannel());
  grpc::ClientContext context;
  context.set_deadline(DeadlineAfter(absl::Seconds(10)));
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  // ServerReflectionRequest{list_services: "*"}: field 7, one byte.
  const grpc::Slice request("\x3a\x01*");
  call->Write(grpc::ByteBuffer(&request, 1), nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  grpc::ByteBuffer reply;
  call->Read(&reply, nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  grpc::Slice bytes;
  ASSERT_TRUE(reply.DumpToSingleSlice(&bytes).ok());
  EXPECT_THAT(std::string(reinterpret_cast<const char*>(bytes.begin()), bytes.size()),
              HasSubstr("pompc.proto.ReplayService"));
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
}

TEST(Server, StopsThoughAStreamIsBlocked) {
  EchoService service;
  const auto server = Started(&service);
  AppendClient client(Endpoint(server->address()).Channel());
  ASSERT_TRUE(client.RoundTrip(1));
  const absl::Duration start = Clock::Real()->Now();
  server->Shutdown(absl::Milliseconds(50));
  // Not for ever; a machine that is busy may take its time.
  EXPECT_LT(Clock::Real()->Now() - start, absl::Seconds(20));
  EXPECT_FALSE(client.RoundTrip(2));
  EXPECT_FALSE(client.Finish().ok());
}

TEST(Server, ShutdownLetsCallsEndInTheirGrace) {
  EchoService service;
  const auto server = Started(&service);
  absl::Status result = absl::UnknownError("none");
  Thread caller("caller", [&] {
    proto::InfoRequest request;
    request.mutable_header()->set_run_id("never");
    result = AskInfo(Endpoint(server->address()).Channel(), request).status();
  });
  service.call_held().Wait();
  Thread stopper("stopper", [&] { server->Shutdown(absl::Seconds(30)); });
  // New calls are refused from then on.
  while (AskInfo(Endpoint(server->address()).Channel()).ok()) {
  }
  service.Release();
  stopper.Join();
  caller.Join();
  EXPECT_TRUE(result.ok()) << result;
}

TEST(Server, RefusesCallsAfterShutdown) {
  EchoService service;
  const auto server = Started(&service);
  const auto channel = Endpoint(server->address()).Channel();
  ASSERT_TRUE(AskInfo(channel).ok());
  server->Shutdown(absl::ZeroDuration());
  server->Shutdown(absl::ZeroDuration());
  EXPECT_EQ(AskInfo(channel).status().code(), absl::StatusCode::kUnavailable);
}

TEST(Server, PortIsFreeAgainAfterShutdown) {
  EchoService service;
  std::string address;
  {
    const auto server = Started(&service);
    address = server->address();
    ASSERT_TRUE(AskInfo(Endpoint(address).Channel()).ok());
  }
  const auto again = Server::Start({.listen = address}, {&service});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(AskInfo(Endpoint(address).Channel()).ok());
}

TEST(Server, ClientsFindARestartedServer) {
  EchoService service;
  auto server = Started(&service);
  const std::string address = server->address();
  const auto channel = Endpoint(address).Channel();
  ASSERT_TRUE(AskInfo(channel).ok());
  server.reset();
  EXPECT_EQ(AskInfo(channel).status().code(), absl::StatusCode::kUnavailable);
  server = Started(&service, address);
  EXPECT_TRUE(channel->WaitForConnected(DeadlineAfter(absl::Seconds(10))));
  EXPECT_TRUE(AskInfo(channel).ok());
}

TEST(Server, OldConnectionsAreEndedAndMadeAgain) {
  EchoService service;
  const auto server = *Server::Start(
      {.listen = "127.0.0.1:0", .max_connection_age = absl::Milliseconds(20)}, {&service});
  const auto channel = Endpoint(server->address()).Channel();
  ASSERT_TRUE(AskInfo(channel).ok());
  EXPECT_TRUE(channel->WaitForStateChange(GRPC_CHANNEL_READY, DeadlineAfter(absl::Seconds(10))));
  EXPECT_TRUE(AskInfo(channel).ok());
}

TEST(Server, MessagesOverTheBoundAreRefused) {
  EchoService service;
  const auto server =
      *Server::Start({.listen = "127.0.0.1:0", .max_request_bytes = 1000}, {&service});
  proto::InfoRequest request;
  request.mutable_header()->set_run_id(std::string(2000, 'x'));
  const auto channel = Endpoint(server->address()).Channel();
  EXPECT_EQ(AskInfo(channel, request).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(AskInfo(channel).ok());
}

TEST(Server, RequestsHaveOneBoundAtBothEnds) {
  EchoService service;
  const auto server = Started(&service);
  const auto channel = Endpoint(server->address()).Channel();
  proto::InfoRequest request;
  request.mutable_header()->set_run_id(std::string(kMaxRequestBytes - 100, 'x'));
  EXPECT_TRUE(AskInfo(channel, request).ok());
  request.mutable_header()->set_run_id(std::string(kMaxRequestBytes, 'x'));
  EXPECT_EQ(AskInfo(channel, request).status().code(), absl::StatusCode::kInvalidArgument);
  // A client of somebody else's sends it all the same.
  grpc::ChannelArguments unbounded;
  unbounded.SetMaxSendMessageSize(-1);
  const auto foreign = grpc::CreateCustomChannel(
      server->address(), grpc::InsecureChannelCredentials(), unbounded);
  EXPECT_EQ(AskInfo(foreign, request).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(service.infos(), 1);
}

TEST(Server, ManyStreamsHoldFewThreads) {
  constexpr int kIdle = 300, kBusy = 64, kRounds = 5;
  EchoService service;
  const auto server = Started(&service);
  // Each as from a process of its own: on its own connection.
  std::vector<std::unique_ptr<AppendClient>> streams;
  for (int i = 0; i < kIdle + kBusy; ++i) {
    grpc::ChannelArguments args = MakeChannelArguments({});
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // Among so many connections at once, loopback now and then refuses one.
    streams.push_back(std::make_unique<AppendClient>(
        grpc::CreateCustomChannel(server->address(), grpc::InsecureChannelCredentials(), args),
        absl::Seconds(50), /*wait_for_ready=*/true));
    ASSERT_TRUE(streams.back()->RoundTrip(1)) << i << ": " << streams.back()->Finish();
  }
  EXPECT_EQ(service.open_streams(), kIdle + kBusy);
  for (int round = 2; round <= kRounds; ++round) {
    for (int i = 0; i < kBusy; ++i) streams[i]->Send(round);
    for (int i = 0; i < kBusy; ++i) ASSERT_TRUE(streams[i]->AwaitEcho()) << i;
  }
  // These are the threads of the clients and the server together.
  const int threads = ThreadsOfThisProcess();
  RecordProperty("threads", threads);
  EXPECT_LT(threads, 40);
}

}  // namespace
}  // namespace pompc::rpc
