// The learner's parameter service and its subscribers, over in-process channels and a loopback
// port.
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "parameters/parameter_service.h"
#include "parameters/parameter_subscriber.h"
#include "parameters/publisher.h"
#include "proto/parameters.grpc.pb.h"
#include "tests/parameters/snapshots.h"
#include "tests/support/await.h"

namespace pompc::parameters {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr size_t kLarge = 3 * ParameterService::kChunkBytes + 17;

// A learner's end of the broadcast.
struct Broadcaster {
  explicit Broadcaster(const std::string& listen = "", int max_subscribers = 8,
                       Clock* clock = Clock::Real())
      : service(&publisher,
                {.run_id = "run", .max_subscribers = max_subscribers, .clock = clock}) {
    rpc::ServerOptions options;
    options.listen = listen;
    auto started = rpc::Server::Start(options, {&service});
    EXPECT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
  }
  ~Broadcaster() {
    publisher.Close();
    server->Shutdown(absl::Seconds(5));
  }

  Publisher publisher;
  ParameterService service;
  std::unique_ptr<rpc::Server> server;
};

// Collects what a subscriber hands on.
class Received {
 public:
  ParameterSubscriber::OnSnapshot Callback() {
    return [this](const ParameterSnapshot& snapshot) {
      MutexLock lock(&mu_);
      snapshots_.push_back(snapshot);
      changed_.SignalAll();
      while (held_) changed_.Wait(&mu_);
      return result_;
    };
  }
  // Blocks until `n` versions have come; gives the last.
  ParameterSnapshot Await(size_t n) {
    MutexLock lock(&mu_);
    while (snapshots_.size() < n) changed_.Wait(&mu_);
    return snapshots_.back();
  }
  std::vector<uint64_t> numbers() {
    MutexLock lock(&mu_);
    std::vector<uint64_t> numbers;
    for (const ParameterSnapshot& snapshot : snapshots_) {
      numbers.push_back(snapshot.version().number);
    }
    return numbers;
  }
  void Hold(bool held) {
    MutexLock lock(&mu_);
    held_ = held;
    changed_.SignalAll();
  }
  void ReturnFromNowOn(absl::Status result) {
    MutexLock lock(&mu_);
    result_ = std::move(result);
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status result_ ABSL_GUARDED_BY(mu_);
  std::vector<ParameterSnapshot> snapshots_ ABSL_GUARDED_BY(mu_);
};

ParameterSubscriberOptions Options(rpc::Endpoint learner) {
  ParameterSubscriberOptions options;
  options.learner = std::move(learner);
  options.name = "planner-1";
  options.backoff = {absl::Milliseconds(1), absl::Milliseconds(10), 2.0};
  return options;
}

TEST(ParameterBroadcastTest, SubscriberGetsWhatIsPublishedBeforeAndAfterItCame) {
  Broadcaster learner;
  const ParameterSnapshot first = TestSnapshot({1, 1}, kLarge);
  learner.publisher.Publish(first);
  Received received;
  ParameterSubscriber subscriber(Options(learner.server->InProcessEndpoint()), received.Callback());
  const ParameterSnapshot got = received.Await(1);
  EXPECT_EQ(*got.data, *first.data);
  EXPECT_EQ(got.description.SerializeAsString(), first.description.SerializeAsString());
  learner.publisher.Publish(TestSnapshot({1, 2}, kLarge));
  EXPECT_EQ(received.Await(2).version(), (ParameterVersion{1, 2}));
}

TEST(ParameterBroadcastTest, WorksOverALoopbackPort) {
  Broadcaster learner("127.0.0.1:0");
  Received received;
  ParameterSubscriber subscriber(Options(rpc::Endpoint(learner.server->address())),
                                 received.Callback());
  learner.publisher.Publish(TestSnapshot({1, 1}, kLarge));
  EXPECT_EQ(*received.Await(1).data, *TestSnapshot({1, 1}, kLarge).data);
  EXPECT_TRUE(subscriber.status().connected);
}

TEST(ParameterBroadcastTest, EmptyParametersAreAVersionToo) {
  Broadcaster learner;
  learner.publisher.Publish(TestSnapshot({1, 1}, 0));
  Received received;
  ParameterSubscriber subscriber(Options(learner.server->InProcessEndpoint()), received.Callback());
  EXPECT_EQ(received.Await(1).data->size(), 0u);
}

TEST(ParameterBroadcastTest, BusySubscriberSkipsToTheNewestButNotTheKept) {
  Broadcaster learner;
  Received received;
  received.Hold(true);
  ParameterSubscriber subscriber(Options(learner.server->InProcessEndpoint()), received.Callback());
  learner.publisher.Publish(TestSnapshot({1, 1}, kLarge));
  received.Await(1);
  for (uint64_t number = 2; number <= 20; ++number) {
    learner.publisher.Publish(TestSnapshot({1, number}, kLarge, number == 5 ? 1000 : 0));
  }
  received.Hold(false);
  ASSERT_TRUE(Await([&] { return subscriber.status().have.number == 20; }));
  // The messages that gRPC holds on the way may belong to one version between.
  const std::vector<uint64_t> numbers = received.numbers();
  EXPECT_LE(numbers.size(), 4u);
  EXPECT_THAT(numbers, ::testing::Contains(5u));
  EXPECT_EQ(numbers.back(), 20u);
}

TEST(ParameterBroadcastTest, NewSubscriberGetsTheNewestAndTheKept) {
  Broadcaster learner;
  learner.publisher.Publish(TestSnapshot({1, 1}, 100, /*keep_seconds=*/1000));
  learner.publisher.Publish(TestSnapshot({1, 2}, 100));
  learner.publisher.Publish(TestSnapshot({1, 3}, 100));
  Received received;
  ParameterSubscriber subscriber(Options(learner.server->InProcessEndpoint()), received.Callback());
  EXPECT_EQ(received.Await(2).description.keep_seconds(), 1000u);
  EXPECT_THAT(received.numbers(), ElementsAre(3u, 1u));
}

TEST(ParameterBroadcastTest, SubscriberResumesAfterARestartOfTheLearner) {
  auto learner = std::make_unique<Broadcaster>("127.0.0.1:0");
  const std::string address = learner->server->address();
  Received received;
  ParameterSubscriber subscriber(Options(rpc::Endpoint(address)), received.Callback());
  learner->publisher.Publish(TestSnapshot({1, 7}));
  received.Await(1);
  learner.reset();
  learner = std::make_unique<Broadcaster>(address);
  learner->publisher.Publish(TestSnapshot({2, 1}));
  EXPECT_EQ(received.Await(2).version(), (ParameterVersion{2, 1}));
  EXPECT_GE(subscriber.status().disconnects, 1u);
  // Once the callback that it was given to has returned.
  EXPECT_TRUE(Await([&] { return subscriber.status().have == ParameterVersion{2, 1}; }));
}

TEST(ParameterBroadcastTest, ThatTheLearnerWasUnreachableIsHistoryOnceItAnswers) {
  auto learner = std::make_unique<Broadcaster>("127.0.0.1:0");
  const std::string address = learner->server->address();
  Received received;
  ParameterSubscriber subscriber(Options(rpc::Endpoint(address)), received.Callback());
  ASSERT_TRUE(Await([&] { return subscriber.status().connected; }));
  learner.reset();
  // Calls that the learner's server took while it ended say so; those after them find none.
  ASSERT_TRUE(Await([&] {
    return absl::StrContains(subscriber.status().last_error, "UNAVAILABLE: failed to connect");
  }));
  learner = std::make_unique<Broadcaster>(address);
  ASSERT_TRUE(Await([&] { return subscriber.status().connected; }));
  EXPECT_EQ(subscriber.status().last_error, "") << "though no version has come";
}

// Its port may be another's for a while: the planner serves what it has.
TEST(ParameterBroadcastTest, WhereALearnerHasBeenOneIsAwaited) {
  auto learner = std::make_unique<Broadcaster>("127.0.0.1:0");
  const std::string address = learner->server->address();
  learner->publisher.Publish(TestSnapshot({1, 1}));
  Received received;
  ParameterSubscriberOptions options = Options(rpc::Endpoint(address));
  options.wrong_peer_timeout = absl::ZeroDuration();
  options.on_wrong_peer = [](const absl::Status& status) { ADD_FAILURE() << status; };
  ParameterSubscriber subscriber(options, received.Callback());
  received.Await(1);
  learner.reset();
  auto other = rpc::Server::Start({.listen = address}, {});
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_TRUE(Await(
      [&] { return subscriber.status().last_error.find("another role") != std::string::npos; }));
  other->reset();
  learner = std::make_unique<Broadcaster>(address);
  learner->publisher.Publish(TestSnapshot({2, 1}));
  received.Await(2);
}

TEST(ParameterBroadcastTest, ResumedStreamDoesNotRepeatTheNewest) {
  Broadcaster learner;
  learner.publisher.Publish(TestSnapshot({1, 1}));
  ParameterSubscriberOptions options = Options(learner.server->InProcessEndpoint());
  options.max_stream_age = absl::Milliseconds(20);
  Received received;
  ParameterSubscriber subscriber(options, received.Callback());
  received.Await(1);
  // A renewed stream that would repeat version 1 does so before it comes to version 2.
  ASSERT_TRUE(Await([&] { return subscriber.status().disconnects >= 2; }));
  learner.publisher.Publish(TestSnapshot({1, 2}));
  received.Await(2);
  EXPECT_THAT(received.numbers(), ElementsAre(1u, 2u));
  EXPECT_EQ(subscriber.status().last_error, "");
}

TEST(ParameterBroadcastTest, VersionTheOwnerCannotUseIsReportedAndNotRepeated) {
  Broadcaster learner;
  Received received;
  received.ReturnFromNowOn(absl::InternalError("no memory on the device"));
  ParameterSubscriber subscriber(Options(learner.server->InProcessEndpoint()), received.Callback());
  learner.publisher.Publish(TestSnapshot({1, 1}));
  received.Await(1);
  ASSERT_TRUE(Await([&] { return subscriber.status().versions >= 1; }));
  EXPECT_THAT(subscriber.status().last_error, HasSubstr("no memory on the device"));
  received.ReturnFromNowOn(absl::OkStatus());
  learner.publisher.Publish(TestSnapshot({1, 2}));
  received.Await(2);
  EXPECT_THAT(received.numbers(), ElementsAre(1u, 2u));
}

TEST(ParameterBroadcastTest, CloseEndsASubscriberThatWaits) {
  Broadcaster learner;
  Received received;
  ParameterSubscriber subscriber(Options(learner.server->InProcessEndpoint()), received.Callback());
  ASSERT_TRUE(Await([&] { return subscriber.status().connected; }));
  subscriber.Close();
  subscriber.Close();
  EXPECT_THAT(received.numbers(), IsEmpty());
}

TEST(ParameterBroadcastTest, CloseEndsASubscriberThatFindsNobody) {
  ParameterSubscriberOptions options = Options(rpc::Endpoint("127.0.0.1:1"));
  options.backoff = {absl::Hours(1), absl::Hours(1), 2.0};
  Received received;
  ParameterSubscriber subscriber(options, received.Callback());
  ASSERT_TRUE(Await([&] { return subscriber.status().disconnects >= 1; }));
  EXPECT_THAT(subscriber.status().last_error, HasSubstr("127.0.0.1:1: UNAVAILABLE"));
  subscriber.Close();
}

TEST(ParameterBroadcastTest, SubscribersMayComeAndGoWhileVersionsArePublished) {
  Broadcaster learner;
  Thread publishing("publish", [&] {
    for (uint64_t number = 1; number <= 100; ++number) {
      learner.publisher.Publish(TestSnapshot({1, number}, number % 20 == 0 ? kLarge : 100));
    }
  });
  for (int round = 0; round < 60; ++round) {
    Received received;
    ParameterSubscriber subscriber(Options(learner.server->InProcessEndpoint()),
                                   received.Callback());
    if (round % 3 == 0) received.Await(1);
    Thread closing("close", [&] { subscriber.Close(); });
    if (round % 2 == 0) subscriber.Close();
  }
  publishing.Join();
  EXPECT_TRUE(Await([&] { return learner.service.stats().subscribers.empty(); }));
}

// Sends given messages, then keeps the stream open.
class ScriptedService final : public proto::ParameterService::CallbackService {
 public:
  std::vector<proto::ParametersMessage> script;

  grpc::ServerWriteReactor<proto::ParametersMessage>* Subscribe(
      grpc::CallbackServerContext* context, const proto::SubscribeRequest* request) override {
    class Stream : public grpc::ServerWriteReactor<proto::ParametersMessage> {
     public:
      explicit Stream(const std::vector<proto::ParametersMessage>& script) : script_(script) {
        WriteNext();
      }
      void OnWriteDone(bool ok) override {
        if (ok) WriteNext();
      }
      void OnCancel() override { Finish(grpc::Status::CANCELLED); }
      void OnDone() override { delete this; }

     private:
      void WriteNext() {
        if (next_ < script_.size()) StartWrite(&script_[next_++]);
      }
      const std::vector<proto::ParametersMessage> script_;
      size_t next_ = 0;
    };
    return new Stream(script);
  }
};

struct ScriptedLearner {
  explicit ScriptedLearner(const std::vector<proto::ParametersMessage>& script) {
    service.script = script;
    server = *rpc::Server::Start(rpc::ServerOptions(), {&service});
  }
  ~ScriptedLearner() { server->Shutdown(absl::ZeroDuration()); }
  ScriptedService service;
  std::unique_ptr<rpc::Server> server;
};

std::vector<proto::ParametersMessage> Script(const ParameterSnapshot& snapshot) {
  std::vector<proto::ParametersMessage> script(2);
  *script[0].mutable_description() = snapshot.description;
  *script[1].mutable_data()->mutable_version() = snapshot.description.version();
  script[1].mutable_data()->set_data(*snapshot.data);
  return script;
}

TEST(ParameterBroadcastTest, CorruptedDataIsNotHandedOn) {
  std::vector<proto::ParametersMessage> script = Script(TestSnapshot({1, 1}));
  (*script[1].mutable_data()->mutable_data())[3] ^= 1;
  ScriptedLearner learner(script);
  Received received;
  ParameterSubscriber subscriber(Options(learner.server->InProcessEndpoint()), received.Callback());
  ASSERT_TRUE(Await([&] { return subscriber.status().disconnects >= 2; }));
  EXPECT_THAT(subscriber.status().last_error, HasSubstr("DATA_LOSS: parameters 1.1: CRC-32"));
  EXPECT_THAT(received.numbers(), IsEmpty());
  EXPECT_EQ(subscriber.status().have, ParameterVersion());
}

TEST(ParameterBroadcastTest, StreamWithoutProgressIsDropped) {
  std::vector<proto::ParametersMessage> script = Script(TestSnapshot({1, 1}));
  script.pop_back();
  ScriptedLearner learner(script);
  FakeClock clock;
  ParameterSubscriberOptions options = Options(learner.server->InProcessEndpoint());
  options.clock = &clock;
  // The loop below may move the clock far before the first message comes.
  options.max_stream_age = absl::InfiniteDuration();
  Received received;
  ParameterSubscriber subscriber(options, received.Callback());
  // Time alone must bring it on, at the first message as at the next.
  while (subscriber.status().disconnects < 1) {
    clock.AwaitWaiters(1);
    clock.Advance(options.progress_timeout);
  }
  EXPECT_THAT(subscriber.status().last_error, HasSubstr("no progress for 20s"));
}

TEST(ParameterBroadcastTest, ParametersOfAnotherRunAreRefused) {
  ParameterSnapshot snapshot = TestSnapshot({1, 1});
  snapshot.description.set_run_id("other");
  ScriptedLearner learner(Script(snapshot));
  ParameterSubscriberOptions options = Options(learner.server->InProcessEndpoint());
  options.run_id = "run";
  Received received;
  ParameterSubscriber subscriber(options, received.Callback());
  ASSERT_TRUE(Await([&] { return subscriber.status().disconnects >= 1; }));
  EXPECT_THAT(subscriber.status().last_error, HasSubstr("run \"other\""));
  EXPECT_THAT(received.numbers(), IsEmpty());
}

TEST(ParameterBroadcastTest, MessagesHoldAtMostOneMebibyteOfData) {
  Broadcaster learner;
  learner.publisher.Publish(TestSnapshot({1, 1}, kLarge));
  auto stub = proto::ParameterService::NewStub(learner.server->InProcessChannel());
  grpc::ClientContext context;
  context.set_deadline(rpc::DeadlineAfter(absl::Seconds(10)));
  proto::SubscribeRequest request;
  *request.mutable_header() = rpc::MakeHeader("run");
  auto reader = stub->Subscribe(&context, request);
  proto::ParametersMessage message;
  ASSERT_TRUE(reader->Read(&message));
  EXPECT_EQ(message.description().total_bytes(), kLarge);
  std::vector<size_t> sizes(4);
  for (size_t& size : sizes) {
    ASSERT_TRUE(reader->Read(&message));
    size = message.data().data().size();
  }
  EXPECT_THAT(sizes, ElementsAre(1 << 20, 1 << 20, 1 << 20, 17));
  context.TryCancel();
  EXPECT_FALSE(reader->Read(&message));
  reader->Finish();
}

// How the service answers a raw request that is refused.
absl::StatusCode SubscribeCode(Broadcaster& learner, const proto::Header& header) {
  auto stub = proto::ParameterService::NewStub(learner.server->InProcessChannel());
  grpc::ClientContext context;
  context.set_deadline(rpc::DeadlineAfter(absl::Seconds(10)));
  proto::SubscribeRequest request;
  *request.mutable_header() = header;
  auto reader = stub->Subscribe(&context, request);
  proto::ParametersMessage message;
  EXPECT_FALSE(reader->Read(&message));
  return static_cast<absl::StatusCode>(reader->Finish().error_code());
}

TEST(ParameterBroadcastTest, SubscriberOfAnotherRunIsRefused) {
  Broadcaster learner;
  EXPECT_EQ(SubscribeCode(learner, rpc::MakeHeader("other")),
            absl::StatusCode::kFailedPrecondition);
}

TEST(ParameterBroadcastTest, SubscriberOfAnotherWireVersionIsRefused) {
  Broadcaster learner;
  proto::Header header = rpc::MakeHeader("run");
  header.set_wire_version(99);
  EXPECT_EQ(SubscribeCode(learner, header), absl::StatusCode::kFailedPrecondition);
}

TEST(ParameterBroadcastTest, OneSubscriberTooManyIsRefused) {
  Broadcaster learner("", /*max_subscribers=*/1);
  learner.publisher.Publish(TestSnapshot({1, 1}));
  Received received;
  ParameterSubscriber subscriber(Options(learner.server->InProcessEndpoint()), received.Callback());
  received.Await(1);
  ASSERT_EQ(learner.service.stats().subscribers.size(), 1u);
  EXPECT_EQ(learner.service.stats().subscribers[0].name(), "planner-1");
  EXPECT_EQ(SubscribeCode(learner, rpc::MakeHeader("run")), absl::StatusCode::kResourceExhausted);
}

TEST(ParameterBroadcastTest, StatsTellWhatEachSubscriberHasAndWhoWasLost) {
  FakeClock clock;
  Broadcaster learner("", 8, &clock);
  const auto only = [&] {
    const ParameterService::Stats stats = learner.service.stats();
    EXPECT_EQ(stats.subscribers.size(), 1u);
    return stats.subscribers.empty() ? proto::PlannerStatus() : stats.subscribers[0];
  };
  Received received;
  // Large enough that not all of it fits into what the connection buffers.
  constexpr size_t kHuge = size_t{64} << 20;
  learner.publisher.Publish(TestSnapshot({1, 1}));
  auto subscriber = std::make_unique<ParameterSubscriber>(
      Options(learner.server->InProcessEndpoint()), received.Callback());
  received.Await(1);
  ASSERT_TRUE(Await([&] { return FromProto(only().version()) == ParameterVersion{1, 1}; }));
  EXPECT_NE(only().peer(), "");
  clock.Advance(absl::Seconds(5));
  EXPECT_EQ(only().behind_seconds(), 0);
  EXPECT_EQ(only().since_seconds(), 5);
  // It takes version 2 and then reads no more: 3 is under way, 4 is published.
  received.Hold(true);
  learner.publisher.Publish(TestSnapshot({1, 2}));
  received.Await(2);
  learner.publisher.Publish(TestSnapshot({1, 3}, kHuge));
  clock.Advance(absl::Seconds(7));
  learner.publisher.Publish(TestSnapshot({1, 4}));
  EXPECT_EQ(FromProto(only().version()), (ParameterVersion{1, 2}));
  EXPECT_EQ(only().behind_seconds(), 7) << "since version 3";
  received.Hold(false);
  ASSERT_TRUE(Await([&] { return FromProto(only().version()) == ParameterVersion{1, 4}; }));
  EXPECT_EQ(only().behind_seconds(), 0);

  subscriber.reset();
  ASSERT_TRUE(Await([&] { return learner.service.stats().subscribers.empty(); }));
  clock.Advance(absl::Seconds(3));
  ASSERT_EQ(learner.service.stats().lost.size(), 1u);
  EXPECT_EQ(learner.service.stats().lost[0].name(), "planner-1");
  EXPECT_FALSE(learner.service.stats().lost[0].connected());
  EXPECT_EQ(learner.service.stats().lost[0].since_seconds(), 3);
  // It comes back.
  ParameterSubscriber again(Options(learner.server->InProcessEndpoint()), received.Callback());
  ASSERT_TRUE(Await([&] { return !learner.service.stats().subscribers.empty(); }));
  EXPECT_TRUE(learner.service.stats().lost.empty());
}

TEST(ParameterBroadcastTest, ASubscriberThatHasRenewedItsStreamIsNotLost) {
  Broadcaster learner;
  Received received;
  const auto connected = [&] { return learner.service.stats().subscribers.size(); };
  auto first = std::make_unique<ParameterSubscriber>(Options(learner.server->InProcessEndpoint()),
                                                     received.Callback());
  ASSERT_TRUE(Await([&] { return connected() == 1; }));
  auto second = std::make_unique<ParameterSubscriber>(Options(learner.server->InProcessEndpoint()),
                                                      received.Callback());
  ASSERT_TRUE(Await([&] { return connected() == 2; }));
  first.reset();
  ASSERT_TRUE(Await([&] { return connected() == 1; }));
  EXPECT_TRUE(learner.service.stats().lost.empty());
  second.reset();
  ASSERT_TRUE(Await([&] { return learner.service.stats().lost.size() == 1; }));
}

TEST(ParameterBroadcastTest, StatsCountVersionsAndBytes) {
  Broadcaster learner;
  learner.publisher.Publish(TestSnapshot({1, 1}, kLarge));
  Received received;
  ParameterSubscriber subscriber(Options(learner.server->InProcessEndpoint()), received.Callback());
  received.Await(1);
  EXPECT_EQ(learner.service.stats().versions_sent, 1u);
  EXPECT_GT(learner.service.stats().bytes_sent, kLarge);
}

}  // namespace
}  // namespace pompc::parameters
