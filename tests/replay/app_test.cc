#include "replay/app.h"

#include <atomic>
#include <filesystem>
#include <iterator>
#include <memory>
#include <vector>

#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "common/rpc/client_stream.h"
#include "common/rpc/wire.h"
#include "common/values/float_bytes.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "gtest/gtest.h"
#include "proto/replay.grpc.pb.h"
#include "replay/client/row_reader.h"
#include "replay/client/shard_client.h"
#include "replay/client/trajectory_writer.h"
#include "tests/replay/row_builder.h"
#include "tests/rundir/scratch_folder.h"
#include "tests/support/await.h"
#include "tests/support/metrics_text.h"

namespace pompc::replay {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using AppendStream = rpc::BidiStream<proto::AppendRequest, proto::AppendReply>;

AppOptions Options() {
  AppOptions options;
  options.metrics = std::make_shared<MetricsRegistry>();
  return options;
}

ShardClientOptions ClientOptions() {
  ShardClientOptions options;
  options.run_id = "run";
  options.spec.set_observation_size(1);
  options.spec.set_action_size(1);
  options.horizon = 1;
  options.capacity_rows = 100;
  options.capacity_bytes = 1 << 20;
  return options;
}

// A writer that the limiter holds: its first row is at the shard and not taken.
std::unique_ptr<TrajectoryWriter> BlockedWriter(std::shared_ptr<grpc::Channel> channel) {
  TrajectoryWriterOptions options;
  options.run_id = "run";
  options.spec = {.observation_size = 1, .action_size = 1};
  options.shard_of_environment = {0};
  options.shards = {std::move(channel)};
  options.chunk_rows = 1;
  auto writer = std::make_unique<TrajectoryWriter>(options, Clock::Real());
  const RowBuilder row = RowBuilder({.observation_size = 1, .action_size = 1}).Add(0, false);
  writer->BeginEpisode(0);
  EXPECT_TRUE(writer->Append(0, row.Single(), absl::ZeroDuration()).ok());
  EXPECT_TRUE(
      Await([&] { return writer->WaitReason(0).find("stopped reading") != std::string::npos; }));
  return writer;
}

TEST(ReplayAppTest, ServesOnALoopbackPort) {
  AppOptions options = Options();
  options.listen = "127.0.0.1:0";
  const auto app = App::Start(options);
  ASSERT_TRUE(app.ok()) << app.status();
  ASSERT_GT((*app)->server().port(), 0);
  ShardClient client(ClientOptions(), rpc::Endpoint((*app)->server().address()).Channel());
  const auto info = client.Configure();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_NE(info->shard_incarnation(), 0);
  EXPECT_EQ(info->capacity_rows(), 100);
  EXPECT_TRUE(client.Grant({5, "", false}).ok());
  EXPECT_EQ(client.Info()->max_accepted_rows(), 5);
}

// Two learners of one run, as two copies of a run directory have them.
TEST(ReplayAppTest, OneStartOfTheRunsLearnerIsServed) {
  const auto app = App::Start(Options());
  ASSERT_TRUE(app.ok()) << app.status();
  const auto client_of = [&](const LearnerStart& start) {
    ShardClientOptions options = ClientOptions();
    options.start = start;
    return std::make_unique<ShardClient>(options, (*app)->server().InProcessChannel());
  };
  const auto first = client_of({2, 100}), copy = client_of({2, 200}), later = client_of({3, 200});
  ASSERT_TRUE(first->Configure().ok());
  ASSERT_TRUE(first->Grant({5, "", false}).ok());
  EXPECT_EQ(copy->Configure().status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(copy->Grant({7, "", false}).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(first->Info()->max_accepted_rows(), 5);
  ASSERT_TRUE(later->Configure().ok());
  EXPECT_TRUE(later->Grant({9, "", false}).ok());
  EXPECT_EQ(first->Grant({5, "", false}).status().code(), absl::StatusCode::kAborted);
}

TEST(ReplayAppTest, BusyPortIsNamed) {
  AppOptions options = Options();
  options.listen = "127.0.0.1:0";
  const auto first = App::Start(options);
  ASSERT_TRUE(first.ok());
  options = Options();
  options.listen = (*first)->server().address();
  const absl::Status status = App::Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr(options.listen));
}

TEST(ReplayAppTest, TwoShardsHaveTwoIncarnations) {
  const auto a = App::Start(Options()), b = App::Start(Options());
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE((*a)->shard().incarnation(), (*b)->shard().incarnation());
}

// A chunk of one row of zeros.
proto::AppendRequest OneRow() {
  proto::AppendRequest request;
  *request.mutable_header() = rpc::MakeHeader("run");
  proto::Rows* rows = request.mutable_rows();
  const std::string zero = ToBytes<float>({0.0f});
  rows->set_count(1);
  for (std::string* column :
       {rows->mutable_observations(), rows->mutable_actions(), rows->mutable_rewards(),
        rows->mutable_plan_mean(), rows->mutable_plan_value()}) {
    *column = zero;
  }
  rows->set_plan_std(ToBytes<float>({1.0f}));
  rows->set_terminated(std::string(1, '\0'));
  rows->set_has_plan(std::string(1, '\0'));
  rows->add_versions();
  return request;
}

// A stream whose first chunk the limiter holds.
class BlockedStream {
 public:
  explicit BlockedStream(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(proto::ReplayService::NewStub(channel)) {
    context_.set_deadline(rpc::DeadlineAfter(absl::Seconds(20)));
    call_ = stub_->Append(&context_);
    call_->Write(OneRow());
    proto::AppendReply reply;
    EXPECT_TRUE(call_->Read(&reply));
    EXPECT_THAT(reply.blocked(), HasSubstr("granted nothing yet"));
  }
  absl::Status AwaitEnd() {
    proto::AppendReply reply;
    EXPECT_FALSE(call_->Read(&reply));
    return rpc::FromGrpc(call_->Finish());
  }

 private:
  std::unique_ptr<proto::ReplayService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<proto::AppendRequest, proto::AppendReply>> call_;
};

TEST(ReplayAppTest, StopsThoughStreamsAreBlocked) {
  AppOptions options = Options();
  options.listen = "127.0.0.1:0";
  auto app = App::Start(options);
  ASSERT_TRUE(app.ok()) << app.status();
  ShardClient client(ClientOptions(), rpc::Endpoint((*app)->server().address()).Channel());
  ASSERT_TRUE(client.Configure().ok());
  BlockedStream local((*app)->server().InProcessChannel());
  BlockedStream remote(rpc::Endpoint((*app)->server().address()).Channel());
  const absl::Duration before = Clock::Real()->Now();
  (*app)->Stop();
  // Not for ever; a machine that is busy may take its time.
  EXPECT_LT(Clock::Real()->Now() - before, absl::Seconds(20));
  EXPECT_EQ(local.AwaitEnd().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(remote.AwaitEnd().code(), absl::StatusCode::kUnavailable);
  (*app)->Stop();
  (*app)->Wait();
  EXPECT_EQ(client.Info().status().code(), absl::StatusCode::kUnavailable);
}

size_t ThreadsOfThisProcess() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

// Client and server count here; gRPC's own threads grow with the processors, not with the streams.
TEST(ReplayAppTest, ManyStreamsNeedFewThreads) {
  AppOptions options = Options();
  options.listen = "127.0.0.1:0";
  auto app = App::Start(options);
  ASSERT_TRUE(app.ok()) << app.status();
  const rpc::Endpoint endpoint((*app)->server().address());
  ShardClient client(ClientOptions(), endpoint.Channel());
  ASSERT_TRUE(client.Configure().ok());
  ASSERT_TRUE(client.Grant({1000000, "", false}).ok());
  constexpr uint32_t kStreams = 364, kBusy = 64;
  // A connection each, as that many writers have.
  grpc::ChannelArguments own = rpc::MakeChannelArguments({});
  own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (uint32_t i = 0; i < kStreams; ++i) {
    channels.push_back(
        grpc::CreateCustomChannel(endpoint.address(), grpc::InsecureChannelCredentials(), own));
    channels.back()->GetState(/*try_to_connect=*/true);
  }
  std::vector<std::unique_ptr<proto::ReplayService::Stub>> stubs;
  std::atomic<uint32_t> acked = 0, ended = 0;
  std::vector<std::unique_ptr<AppendStream>> streams;
  for (uint32_t i = 0; i < kStreams; ++i) {
    // Among so many connections at once, loopback now and then refuses one, which is tried again.
    ASSERT_TRUE(channels[i]->WaitForConnected(absl::ToChronoTime(WallTime() + absl::Seconds(50))));
    stubs.push_back(proto::ReplayService::NewStub(channels[i]));
    streams.push_back(std::make_unique<AppendStream>(
        *stubs.back()->async(), &proto::ReplayService::Stub::async::Append,
        AppendStream::Callbacks{.on_written = [] {},
                                .on_reply = [&](const auto&) { ++acked; },
                                .on_closing = [] {},
                                .on_ended = [&](const auto&) { ++ended; }},
        absl::Seconds(100)));
    *streams.back()->request() = OneRow();
    streams.back()->request()->mutable_stream()->set_actor_index(i);
  }
  for (uint32_t i = 0; i < kBusy; ++i) streams[i]->Write();
  EXPECT_TRUE(Await([&] {
    const auto info = client.Info();
    return acked == kBusy && info.ok() && info->streams() == kStreams;
  }));
  EXPECT_EQ(client.Info()->accepted_rows(), kBusy);
  EXPECT_LT(ThreadsOfThisProcess(), 40);
  for (const auto& stream : streams) stream->Cancel();
  ASSERT_TRUE(Await([&] { return ended == kStreams; }));
}

TEST(ReplayAppTest, MetricsShowWhatTheShardHolds) {
  AppOptions options = Options();
  options.shard = "7";
  const auto app = App::Start(options);
  ASSERT_TRUE(app.ok());
  EXPECT_THAT(options.metrics->ToText(), HasSubstr("pompc_replay_stored_rows{shard=\"7\"} 0"))
      << "a shard that serves no run yet";
  ShardClient client(ClientOptions(), (*app)->server().InProcessChannel());
  ASSERT_TRUE(client.Configure().ok());
  EXPECT_THAT(options.metrics->ToText(),
              HasSubstr("pompc_replay_stored_rows{shard=\"7\",run=\"run\"} 0"));
  const std::unique_ptr<TrajectoryWriter> writer =
      BlockedWriter((*app)->server().InProcessChannel());
  std::string text = WithoutRun(options.metrics->ToText());
  EXPECT_THAT(text, HasSubstr("pompc_replay_blocked_streams{reason=\"grant\",shard=\"7\"} 1"));
  EXPECT_THAT(text, HasSubstr("pompc_replay_blocked_streams{reason=\"store\",shard=\"7\"} 0"));
  EXPECT_THAT(text, HasSubstr("pompc_replay_accepted_rows_total{shard=\"7\"} 0"));
  ASSERT_TRUE(client.Grant({10, "", false}).ok());
  ASSERT_TRUE(writer->Flush(absl::Seconds(20)).ok());
  text = WithoutRun(options.metrics->ToText());
  EXPECT_THAT(text, HasSubstr("pompc_replay_accepted_rows_total{shard=\"7\"} 1"));
  EXPECT_THAT(text, HasSubstr("pompc_replay_streams{shard=\"7\"} 1"));
  EXPECT_THAT(text, HasSubstr("pompc_replay_state_seconds_total"));
  EXPECT_THAT(text, HasSubstr("state=\"blocked\""));
}

TEST(ReplayAppTest, AShardMakesSnapshotsForWhoeverNamesItsRun) {
  const ScratchFolder scratch;
  AppOptions options = Options();
  for (const bool on_disk : {false, true}) {
    options.data_dir = on_disk ? scratch.File("data") : "";
    options.durability = on_disk ? Durability::kSync : Durability::kMemory;
    const auto app = App::Start(options);
    ASSERT_TRUE(app.ok()) << app.status();
    ShardClient client(ClientOptions(), (*app)->server().InProcessChannel());
    ASSERT_TRUE(client.Configure().ok());
    const auto reader = RowReader::Connect((*app)->server().InProcessEndpoint(), absl::Seconds(20));
    ASSERT_TRUE(reader.ok()) << reader.status();
    const auto folder = (*reader)->Snapshot("first");
    if (!on_disk) {
      EXPECT_EQ(folder.status().code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_THAT(folder.status().message(), HasSubstr("MEMORY"));
      continue;
    }
    ASSERT_TRUE(folder.ok()) << folder.status();
    EXPECT_EQ(*folder, options.data_dir + "/snapshots/first");
    EXPECT_EQ((*reader)->Snapshot("first").status().code(), absl::StatusCode::kAlreadyExists);
    EXPECT_EQ((*reader)->Snapshot("../first").status().code(), absl::StatusCode::kInvalidArgument);
    const auto stub = proto::ReplayService::NewStub((*app)->server().InProcessChannel());
    proto::SnapshotRequest request;
    *request.mutable_header() = rpc::MakeHeader("another-run");
    request.set_name("second");
    EXPECT_EQ(
        rpc::CallUnary(*stub, &proto::ReplayService::Stub::Snapshot, request, absl::Seconds(20))
            .status()
            .code(),
        absl::StatusCode::kFailedPrecondition);
  }
}

TEST(ReplayAppTest, AShardWithAFolderComesBackWithItsRowsAndServesThemAtOnce) {
  const ScratchFolder scratch;
  AppOptions options = Options();
  options.data_dir = scratch.File("data");
  options.durability = Durability::kSync;
  uint64_t incarnation = 0;
  for (uint64_t opening = 1; opening <= 2; ++opening) {
    SCOPED_TRACE(opening);
    const auto app = App::Start(options);
    ASSERT_TRUE(app.ok()) << app.status();
    ShardClient client(ClientOptions(), (*app)->server().InProcessChannel());
    if (opening == 1) {
      ASSERT_TRUE(client.Configure().ok());
      const std::unique_ptr<TrajectoryWriter> writer =
          BlockedWriter((*app)->server().InProcessChannel());
      ASSERT_TRUE(client.Grant({10, "", false}).ok());
      ASSERT_TRUE(writer->Flush(absl::Seconds(20)).ok());
      EXPECT_EQ(App::Start(options).status().code(), absl::StatusCode::kFailedPrecondition);
    }
    const auto info = client.Info();
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->accepted_rows(), 1u);
    EXPECT_EQ(info->stored_rows(), 1u);
    EXPECT_EQ(info->opening(), opening);
    EXPECT_FALSE(info->has_loaded_percent());
    if (opening == 1) incarnation = info->shard_incarnation();
    EXPECT_EQ(info->shard_incarnation(), incarnation);
    const std::string text = WithoutRun(options.metrics->ToText());
    EXPECT_THAT(text, HasSubstr("pompc_replay_loaded_percent{shard=\"0\"} 100"));
    EXPECT_THAT(text, HasSubstr("pompc_replay_disk_free_bytes{shard=\"0\"} "));
    EXPECT_THAT(text, Not(HasSubstr("pompc_replay_disk_free_bytes{shard=\"0\"} N")));
    if (opening == 1) {
      EXPECT_THAT(text, Not(HasSubstr("pompc_replay_store_commit_seconds_total{shard=\"0\"} 0\n")));
    }
  }
}

TEST(ReplayAppTest, OptionsThatCannotWorkAreNamed) {
  EXPECT_THAT(App::Start({}).status().message(), HasSubstr("metrics"));
}

}  // namespace
}  // namespace pompc::replay
