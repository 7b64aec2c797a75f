// Streams of servers and clients, over in-process channels and a loopback port.
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/threads.h"
#include "common/rpc/client_stream.h"
#include "common/rpc/server.h"
#include "common/rpc/server_stream.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "proto/parameters.grpc.pb.h"
#include "tests/rpc/echo_service.h"
#include "tests/support/await.h"

namespace pompc::rpc {
namespace {

using Message = proto::ParametersMessage;
using Reader = ReadStream<proto::SubscribeRequest, Message>;

constexpr absl::Duration kTimeout = absl::Seconds(60);

// Numbers that a test gives out, and the stream that sends them.
class Numbers final : public ServerStream<Message> {
 public:
  explicit Numbers(std::atomic<int>* alive) : alive_(alive) { ++*alive_; }
  ~Numbers() override { --*alive_; }

  void Send(uint64_t number) {
    {
      MutexLock lock(&mu_);
      queue_.push_back(number);
    }
    Wake();
  }
  void End(absl::Status status) {
    {
      MutexLock lock(&mu_);
      end_ = std::move(status);
    }
    Wake();
  }

  Event& ended() { return ended_; }
  int written() const { return written_; }

 private:
  // Catches two calls at a time.
  class Alone {
   public:
    explicit Alone(std::atomic<int>* inside) : inside_(inside) { EXPECT_EQ(++*inside_, 1); }
    ~Alone() { --*inside_; }

   private:
    std::atomic<int>* const inside_;
  };

  StreamStep Next(Message* message) override {
    const Alone alone(&inside_);
    EXPECT_FALSE(ended_.IsSet());
    EXPECT_FALSE(std::exchange(in_flight_, false)) << "the write before was not reported";
    MutexLock lock(&mu_);
    if (!queue_.empty()) {
      message->mutable_data()->set_offset(queue_.front());
      queue_.pop_front();
      in_flight_ = true;
      return StreamStep::Write();
    }
    return end_.has_value() ? StreamStep::End(*end_) : StreamStep::Wait();
  }
  void OnWritten() override {
    const Alone alone(&inside_);
    EXPECT_TRUE(std::exchange(in_flight_, false));
    ++written_;
  }
  void OnEnd() override {
    const Alone alone(&inside_);
    EXPECT_FALSE(ended_.IsSet()) << "a stream ends once";
    ended_.Set();
  }

  std::atomic<int>* const alive_;
  std::atomic<int> inside_ = 0;
  std::atomic<int> written_ = 0;
  // Used by the functions that are called one at a time, without a lock.
  bool in_flight_ = false;
  Event ended_;

  Mutex mu_;
  std::deque<uint64_t> queue_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
};

// Subscribe answers with a stream of Numbers.
class NumberService final : public proto::ParameterService::CallbackService {
 public:
  grpc::ServerWriteReactor<Message>* Subscribe(grpc::CallbackServerContext* /*context*/,
                                               const proto::SubscribeRequest* request) override {
    return ServeStream(Open(*request));
  }

  // The stream that was opened last, once there are `total`.
  std::shared_ptr<Numbers> Await(int total) {
    MutexLock lock(&mu_);
    while (opened_ < total) changed_.Wait(&mu_);
    return std::exchange(stream_, nullptr);
  }
  // Streams that exist.
  int alive() const { return alive_; }

 private:
  absl::StatusOr<std::shared_ptr<Numbers>> Open(const proto::SubscribeRequest& request) {
    if (request.subscriber() == "unwanted") return absl::PermissionDeniedError("not you");
    auto stream = std::make_shared<Numbers>(&alive_);
    // News may come before the stream is started.
    if (request.subscriber() == "eager") stream->Send(100);
    MutexLock lock(&mu_);
    stream_ = stream;
    ++opened_;
    changed_.SignalAll();
    return stream;
  }

  std::atomic<int> alive_ = 0;
  Mutex mu_;
  CondVar changed_;
  std::shared_ptr<Numbers> stream_ ABSL_GUARDED_BY(mu_);
  int opened_ ABSL_GUARDED_BY(mu_) = 0;
};

class StreamTest : public ::testing::Test {
 protected:
  explicit StreamTest(const std::string& listen = "") {
    ServerOptions options;
    options.listen = listen;
    server_ = *Server::Start(options, {&service_});
    stub_ = proto::ParameterService::NewStub(server_->InProcessChannel());
  }
  ~StreamTest() override { server_->Shutdown(absl::Seconds(5)); }

  std::unique_ptr<Reader> Read(const std::string& name = "", absl::Duration timeout = kTimeout) {
    proto::SubscribeRequest request;
    request.set_subscriber(name);
    return std::make_unique<Reader>(*stub_->async(),
                                    &proto::ParameterService::Stub::async::Subscribe,
                                    std::move(request), timeout);
  }
  // The number that comes next.
  static uint64_t Take(Reader& reader) {
    EXPECT_EQ(reader.Await(), Reader::Event::kMessage);
    EXPECT_TRUE(reader.answered() && reader.connected());
    const uint64_t number = reader.message().data().offset();
    reader.ReadNext();
    return number;
  }

  NumberService service_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<proto::ParameterService::Stub> stub_;
};

TEST_F(StreamTest, MessagesComeInOrderAndThenTheStatus) {
  const auto reader = Read();
  const auto numbers = service_.Await(1);
  for (uint64_t i = 1; i <= 50; ++i) numbers->Send(i);
  numbers->End(absl::DataLossError("that was all"));
  for (uint64_t i = 1; i <= 50; ++i) EXPECT_EQ(Take(*reader), i);
  EXPECT_EQ(reader->Await(), Reader::Event::kEnded);
  EXPECT_EQ(reader->status(), absl::DataLossError("that was all"));
  EXPECT_TRUE(reader->answered());
  EXPECT_FALSE(reader->connected());
  EXPECT_EQ(numbers->written(), 50);
  EXPECT_TRUE(numbers->ended().IsSet());
}

TEST_F(StreamTest, StreamMayEndInOrderWithoutAMessage) {
  const auto reader = Read();
  service_.Await(1)->End(absl::OkStatus());
  EXPECT_EQ(reader->Await(), Reader::Event::kEnded);
  EXPECT_TRUE(reader->status().ok());
}

TEST_F(StreamTest, ClientIsConnectedBeforeThereIsAnythingToSend) {
  const auto reader = Read();
  EXPECT_TRUE(Await([&] { return reader->connected(); }));
}

TEST_F(StreamTest, NewsBeforeTheStartAreSent) {
  const auto reader = Read("eager");
  EXPECT_EQ(Take(*reader), 100u);
}

TEST_F(StreamTest, RefusalCarriesItsStatus) {
  const auto reader = Read("unwanted");
  EXPECT_EQ(reader->Await(), Reader::Event::kEnded);
  EXPECT_EQ(reader->status(), absl::PermissionDeniedError("not you"));
}

TEST_F(StreamTest, AwaitEndsAtTheDeadlineOfTheClock) {
  FakeClock clock;
  const auto reader = Read();
  Event timed_out;
  Thread waiter("waiter", [&] {
    EXPECT_EQ(reader->Await(&clock, absl::Seconds(3)), Reader::Event::kTimeout);
    timed_out.Set();
  });
  clock.AwaitWaiters(1);
  EXPECT_FALSE(timed_out.IsSet());
  clock.Advance(absl::Seconds(3));
  timed_out.Wait();
}

TEST_F(StreamTest, CallHasADeadline) {
  const auto reader = Read("", absl::Milliseconds(20));
  EXPECT_EQ(reader->Await(), Reader::Event::kEnded);
  EXPECT_EQ(reader->status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(StreamTest, CancelWakesWhoeverWaits) {
  const auto reader = Read();
  const auto numbers = service_.Await(1);
  Thread canceller("cancel", [&] { reader->Cancel(); });
  EXPECT_EQ(reader->Await(), Reader::Event::kEnded);
  EXPECT_EQ(reader->status().code(), absl::StatusCode::kCancelled);
  numbers->ended().Wait();
}

TEST_F(StreamTest, NextMessageIsReadOnlyWhenTheOneBeforeWasTaken) {
  const auto reader = Read();
  const auto numbers = service_.Await(1);
  for (uint64_t i = 1; i <= 3; ++i) numbers->Send(i);
  ASSERT_EQ(reader->Await(), Reader::Event::kMessage);
  EXPECT_EQ(reader->message().data().offset(), 1u);
  EXPECT_EQ(reader->Await(), Reader::Event::kMessage);
  EXPECT_EQ(reader->message().data().offset(), 1u) << "still the same";
}

// Whatever the reader had been told when it went, both ends go.
TEST_F(StreamTest, DestructionEndsTheCallWithAMessagePending) {
  auto reader = Read();
  const auto numbers = service_.Await(1);
  for (uint64_t i = 1; i <= 100; ++i) numbers->Send(i);
  ASSERT_EQ(reader->Await(), Reader::Event::kMessage);
  reader.reset();
  numbers->ended().Wait();
}

TEST_F(StreamTest, ServerThatIsShutDownEndsItsStreams) {
  const auto reader = Read();
  const auto numbers = service_.Await(1);
  server_->Shutdown(absl::ZeroDuration());
  EXPECT_EQ(reader->Await(), Reader::Event::kEnded);
  EXPECT_FALSE(reader->status().ok());
  numbers->ended().Wait();
}

// Every moment at which either side may go: before, during and after the messages.
TEST_F(StreamTest, EndsMayComeAtAnyTime) {
  constexpr int kRounds = 300;
  for (int round = 1; round <= kRounds; ++round) {
    auto reader = Read(round % 2 == 0 ? "eager" : "");
    std::shared_ptr<Numbers> numbers = service_.Await(round);
    Thread sender("send", [&] {
      for (uint64_t i = 0; i < static_cast<uint64_t>(round % 7); ++i) numbers->Send(i);
      if (round % 3 == 0) numbers->End(absl::UnavailableError("over"));
    });
    Thread other("send", [&] { numbers->Send(1000); });
    Thread canceller("cancel", [&, cancel = round % 5 < 2] {
      if (cancel) reader->Cancel();
    });
    // It goes while it waits, with a message that it has not taken, or while it reads the next.
    if (round % 4 > 0 && reader->Await() == Reader::Event::kMessage && round % 4 > 1) {
      reader->ReadNext();
    }
    canceller.Join();
    reader.reset();
    sender.Join();
    other.Join();
    numbers->ended().Wait();
  }
  EXPECT_TRUE(Await([&] { return service_.alive() == 0; }));
}

using Echoes = BidiStream<proto::AppendRequest, proto::AppendReply>;

// A client of EchoService, and what it was told.
struct EchoClient {
  EchoClient(proto::ReplayService::Stub& stub, absl::Duration timeout = kTimeout)
      : stream(*stub.async(), &proto::ReplayService::Stub::async::Append, Callbacks(), timeout) {}

  Echoes::Callbacks Callbacks() {
    return {.on_written = [this] { Note(&written); },
            .on_reply =
                [this](const proto::AppendReply& reply) {
                  MutexLock lock(&mu);
                  replies.push_back(reply.next_row());
                  changed.SignalAll();
                },
            .on_closing = [this] { Note(&closings); },
            .on_ended =
                [this](const grpc::Status& status) {
                  EXPECT_EQ(closings, 1);
                  end = FromGrpc(status);
                  ended.Set();
                }};
  }
  void Note(int* count) {
    MutexLock lock(&mu);
    ++*count;
    changed.SignalAll();
  }
  // Sends a row and waits until it is written and echoed; false if the stream closes.
  bool RoundTrip(uint64_t row) {
    stream.request()->set_first_row(row);
    stream.Write();
    MutexLock lock(&mu);
    const size_t total = ++sent;
    while (closings == 0 && (written < static_cast<int>(total) || replies.size() < total)) {
      changed.Wait(&mu);
    }
    return closings == 0;
  }

  Mutex mu;
  CondVar changed;
  size_t sent = 0;
  int written = 0;
  int closings = 0;
  std::vector<uint64_t> replies;
  absl::Status end;
  Event ended;
  // Last: it calls back.
  Echoes stream;
};

class BidiStreamTest : public ::testing::Test {
 protected:
  ~BidiStreamTest() override { server_->Shutdown(absl::Seconds(5)); }

  EchoService service_;
  const std::unique_ptr<Server> server_ = *Server::Start(ServerOptions(), {&service_});
  const std::unique_ptr<proto::ReplayService::Stub> stub_ =
      proto::ReplayService::NewStub(server_->InProcessChannel());
};

TEST_F(BidiStreamTest, WhatIsWrittenIsAnsweredUntilTheStreamIsCancelled) {
  EchoClient client(*stub_);
  for (uint64_t row = 1; row <= 20; ++row) ASSERT_TRUE(client.RoundTrip(row));
  client.stream.Cancel();
  client.ended.Wait();
  EXPECT_EQ(client.end.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(client.replies.size(), 20u);
  EXPECT_EQ(client.replies.back(), 20u);
  EXPECT_EQ(client.written, 20);
}

TEST_F(BidiStreamTest, CallHasADeadline) {
  EchoClient client(*stub_, absl::Milliseconds(20));
  client.ended.Wait();
  EXPECT_EQ(client.end.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(BidiStreamTest, CancelMayComeAtAnyTime) {
  for (int round = 0; round < 300; ++round) {
    EchoClient client(*stub_);
    Thread canceller("cancel", [&] { client.stream.Cancel(); });
    if (round % 2 == 0) client.stream.Cancel();
    canceller.Join();
    client.ended.Wait();
  }
  EXPECT_TRUE(Await([&] { return service_.open_streams() == 0; }));
}

}  // namespace
}  // namespace pompc::rpc
