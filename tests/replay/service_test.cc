#include "replay/service.h"

#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "common/base/threads.h"
#include "common/rpc/message_size.h"
#include "gmock/gmock.h"
#include "replay/client/shard_client.h"
#include "replay/client/trajectory_writer.h"
#include "replay/messages.h"
#include "tests/replay/service_fixture.h"
#include "tests/support/await.h"

namespace pompc::replay {
namespace {

using ::testing::HasSubstr;

TEST_F(ServiceTest, BeforeConfigureCallsAreUnavailable) {
  EXPECT_EQ(Info().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Grant(1).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Sample(1).status().code(), absl::StatusCode::kUnavailable);
  Stream stream(*stub_);
  stream.Write(Chunk(0, 0, RowBuilder(kSpec).Add(1)));
  EXPECT_EQ(stream.AwaitEnd().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ServiceTest, AnotherRunOrWireVersionIsRefusedNamingBoth) {
  Open();
  const absl::Status run = Info("run-b").status();
  EXPECT_EQ(run.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(run.message(), HasSubstr("run-a"));
  EXPECT_THAT(run.message(), HasSubstr("run-b"));
  const absl::Status configure = Configure(ConfigureMessage("run-b")).status();
  EXPECT_EQ(configure.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(configure.message(), HasSubstr("run-a, not run-b"));
  auto old = New<proto::InfoRequest>();
  old.mutable_header()->set_wire_version(99);
  EXPECT_EQ(rpc::CallUnary(*stub_, &Stub::Info, old, kTimeout).status().code(),
            absl::StatusCode::kFailedPrecondition);
  Stream stream(*stub_);
  proto::AppendRequest chunk = Chunk(0, 0, RowBuilder(kSpec).Add(1));
  chunk.mutable_header()->set_run_id("run-b");
  stream.Write(chunk);
  EXPECT_EQ(stream.AwaitEnd().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ServiceTest, ConfigureWithoutRunOrSizesIsRefused) {
  EXPECT_EQ(Configure(ConfigureMessage("")).status().code(), absl::StatusCode::kInvalidArgument);
  proto::ConfigureRequest no_sizes = ConfigureMessage();
  no_sizes.clear_spec();
  EXPECT_EQ(Configure(no_sizes).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Configure(ConfigureMessage()).ok());
}

TEST_F(ServiceTest, AppendedRowsAreAckedAndSampled) {
  Open();
  Stream stream(*stub_);
  proto::AppendReply reply = stream.Exchange(Chunk(0, 0, RowBuilder(kSpec).AddMany(0, 3)));
  EXPECT_EQ(reply.verdict(), proto::AppendReply::ACKED);
  EXPECT_EQ(reply.next_row(), 3);
  EXPECT_FALSE(reply.ended());
  EXPECT_EQ(reply.stream().actor_index(), 1);
  EXPECT_EQ(Sample(1).status().code(), absl::StatusCode::kFailedPrecondition);
  reply = stream.Exchange(Chunk(0, 3, RowBuilder(kSpec).Final(3)));
  EXPECT_TRUE(reply.ended());

  const absl::StatusOr<proto::SampleReply> sample = Sample(2);
  ASSERT_TRUE(sample.ok()) << sample.status();
  const proto::Windows& windows = sample->windows();
  EXPECT_EQ(windows.count(), 2);
  EXPECT_EQ(windows.horizon(), 3);
  EXPECT_EQ(NumbersIn<float>(windows.observations())[4], RowBuilder::Observation(1, 1));
  EXPECT_EQ(NumbersIn<uint64_t>(windows.addresses())[3], 3);
  const proto::ShardInfo& info = sample->info();
  EXPECT_EQ(info.shard_index(), 1);
  EXPECT_EQ(info.shard_incarnation(), 42);
  EXPECT_EQ(info.accepted_rows(), 3);
  EXPECT_EQ(info.planned_rows(), 3);
  EXPECT_EQ(info.windows(), 1);
  EXPECT_EQ(info.streams(), 1);
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_TRUE(Await([&] { return Info()->streams() == 0; }));
}

TEST_F(ServiceTest, SampleCountIsBounded) {
  Open();
  EXPECT_EQ(Sample(0).status().code(), absl::StatusCode::kInvalidArgument);
  const absl::Status status = Sample(65537).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("allowed are 1 to 65536"));
}

TEST_F(ServiceTest, BadRowsAreRefusedWithTheReasonAndTheStreamGoesOn) {
  Open();
  Stream stream(*stub_);
  RowBuilder nan = RowBuilder(kSpec).AddMany(0, 2);
  nan.observations_[4] = std::numeric_limits<float>::quiet_NaN();
  proto::AppendReply reply = stream.Exchange(Chunk(0, 0, nan));
  EXPECT_EQ(reply.verdict(), proto::AppendReply::REFUSED);
  EXPECT_EQ(reply.code(), 3);
  EXPECT_EQ(reply.message(), "row 1: observation number 1 is nan, must be finite");

  RowBuilder wrong(RowSpec{.observation_size = 4, .action_size = 2});
  reply = stream.Exchange(Chunk(1, 0, wrong.Add(1)));
  EXPECT_EQ(reply.code(), 3);
  EXPECT_EQ(reply.message(), "observations has 4 numbers, expected 3");

  proto::AppendRequest torn = Chunk(2, 0, RowBuilder(kSpec).Add(1));
  torn.mutable_rows()->mutable_observations()->push_back('x');
  reply = stream.Exchange(torn);
  EXPECT_EQ(reply.code(), 3);
  EXPECT_THAT(reply.message(), HasSubstr("13 bytes"));

  reply = stream.Exchange(Chunk(2, 0, RowBuilder(kSpec).Add(1)));
  EXPECT_EQ(reply.verdict(), proto::AppendReply::REFUSED) << "the segment is closed";

  EXPECT_EQ(Info()->accepted_rows(), 0);
  reply = stream.Exchange(Chunk(3, 0, RowBuilder(kSpec).Add(1)));
  EXPECT_EQ(reply.verdict(), proto::AppendReply::ACKED);
}

TEST_F(ServiceTest, GapIsAnsweredWithTheExpectedRow) {
  Open();
  Stream stream(*stub_);
  const proto::AppendReply reply = stream.Exchange(Chunk(0, 5, RowBuilder(kSpec).Add(5)));
  EXPECT_EQ(reply.verdict(), proto::AppendReply::GAP);
  EXPECT_EQ(reply.next_row(), 0);
}

TEST_F(ServiceTest, ClosedLimiterBlocksTheStreamUntilGranted) {
  Open(/*granted=*/2);
  Stream stream(*stub_);
  EXPECT_EQ(stream.Exchange(Chunk(0, 0, RowBuilder(kSpec).AddMany(0, 2))).next_row(), 2);
  const proto::AppendReply blocked = stream.Exchange(Chunk(0, 2, RowBuilder(kSpec).AddMany(2, 2)));
  EXPECT_FALSE(blocked.has_stream());
  EXPECT_EQ(blocked.blocked(), "shard took 2 rows of 2 granted: rows run ahead of updates");
  absl::StatusOr<proto::ShardInfo> info = Info();
  EXPECT_EQ(info->blocked_streams(), 1);
  EXPECT_EQ(info->accepted_rows(), 2);
  Thread next("write", [&] { stream.Write(Chunk(0, 4, RowBuilder(kSpec).Add(4))); });  // unread
  ASSERT_TRUE(Grant(100).ok());
  const proto::AppendReply acked = stream.Read();
  EXPECT_EQ(acked.next_row(), 4);
  EXPECT_EQ(acked.blocked(), "");
  EXPECT_EQ(stream.Read().next_row(), 5);
  EXPECT_EQ(Info()->blocked_streams(), 0);
}

TEST_F(ServiceTest, ThePartOfAChunkThatFitsIsAckedAtOnce) {
  Open(/*granted=*/3);
  Stream stream(*stub_);
  proto::AppendReply reply = stream.Exchange(Chunk(0, 0, RowBuilder(kSpec).AddMany(0, 8).Final(8)));
  EXPECT_EQ(reply.verdict(), proto::AppendReply::ACKED);
  EXPECT_EQ(reply.next_row(), 3);
  EXPECT_FALSE(reply.ended());
  while (reply.blocked().empty()) reply = stream.Read();
  EXPECT_EQ(Info()->accepted_rows(), 3);
  ASSERT_TRUE(Grant(5).ok());
  while (reply.next_row() < 5) reply = stream.Read();
  EXPECT_EQ(Info()->accepted_rows(), 5);
  ASSERT_TRUE(Grant(100).ok());
  while (!reply.ended()) reply = stream.Read();
  EXPECT_EQ(reply.next_row(), 8);
  EXPECT_EQ(reply.blocked(), "");
  EXPECT_EQ(Info()->windows(), 6);
}

TEST_F(ServiceTest, WhatAStreamHoldsIsBoundedByTheConfiguredChunk) {
  proto::ConfigureRequest configure = ConfigureMessage();
  configure.set_chunk_rows(16);
  ASSERT_TRUE(Configure(configure).ok());
  ASSERT_TRUE(Grant(1000).ok());
  Stream stream(*stub_);
  proto::AppendReply reply = stream.Exchange(Chunk(0, 0, RowBuilder(kSpec).AddMany(0, 17)));
  EXPECT_EQ(reply.verdict(), proto::AppendReply::REFUSED);
  EXPECT_EQ(reply.code(), 3);
  EXPECT_THAT(reply.message(), HasSubstr("17 rows; allowed by actor.chunk_rows are 16"));
  reply = stream.Exchange(Chunk(1, 0, RowBuilder(kSpec).AddMany(0, 20000)));
  EXPECT_EQ(reply.verdict(), proto::AppendReply::REFUSED);
  EXPECT_EQ(reply.code(), 3);
  EXPECT_THAT(reply.message(), HasSubstr("20000 rows"));
  EXPECT_THAT(reply.message(), HasSubstr("allowed are 16 rows (actor.chunk_rows)"));
  // Whatever the numbers are, the largest chunk is no larger than its bound.
  RowBuilder largest = RowBuilder(kSpec).AddMany(0, 16).Final(16);
  largest.versions_.assign(16, {~uint64_t{0}, ~uint64_t{0}});
  proto::AppendRequest request = Chunk(~uint32_t{0}, 0, largest);
  request.mutable_stream()->set_incarnation(~uint64_t{0});
  request.mutable_stream()->set_episode(~uint64_t{0});
  const ShardConfig config = ToShardConfig(configure);
  EXPECT_LT(request.ByteSizeLong(), MaxChunkBytes(config));
  EXPECT_GT(request.ByteSizeLong() + 4096, MaxChunkBytes(config));
  EXPECT_EQ(stream.Exchange(request).verdict(), proto::AppendReply::ACKED);
  EXPECT_EQ(Info()->accepted_rows(), 16);
}

TEST_F(ServiceTest, WhatTheRunLetsRowsHoldComesWithConfigure) {
  proto::ConfigureRequest configure = ConfigureMessage();
  configure.mutable_spec()->set_terminates(false);
  configure.set_min_plan_std(0.25f);
  configure.set_max_plan_std(3);
  ASSERT_TRUE(Configure(configure).ok());
  ASSERT_TRUE(Grant(1000).ok());
  Stream stream(*stub_);
  EXPECT_THAT(stream.Exchange(Chunk(0, 0, RowBuilder(kSpec).Add(1).Terminal())).message(),
              HasSubstr("set env.spec.terminates: true"));
  RowBuilder narrow = RowBuilder(kSpec).Add(1);
  narrow.plan_std_[1] = 0.125f;
  EXPECT_THAT(stream.Exchange(Chunk(1, 0, narrow)).message(), HasSubstr("must be in [0.25, 3]"));
  auto grant = New<proto::GrantRequest>();
  grant.set_max_accepted_rows(1000);
  grant.set_seed_phase_over(true);
  grant.mutable_newest_version()->set_incarnation(1);
  grant.mutable_newest_version()->set_number(1);
  ASSERT_TRUE(rpc::CallUnary(*stub_, &Stub::Grant, grant, kTimeout).ok());
  // Row 1 has version 1.2.
  EXPECT_THAT(stream.Exchange(Chunk(2, 0, RowBuilder(kSpec).Add(1))).blocked(),
              HasSubstr("was planned by version 1.2"));
  ASSERT_TRUE(rpc::CallUnary(*stub_, &Stub::Grant, grant, kTimeout).ok());
  ASSERT_TRUE(rpc::CallUnary(*stub_, &Stub::Grant, grant, kTimeout).ok());
  proto::AppendReply reply = stream.Read();
  while (!reply.has_stream()) reply = stream.Read();
  EXPECT_EQ(reply.verdict(), proto::AppendReply::REFUSED);
  EXPECT_THAT(reply.message(), HasSubstr("the newest that the learner has published is 1.1"));
  EXPECT_EQ(stream.Exchange(Chunk(3, 0, RowBuilder(kSpec).Add(0))).verdict(),
            proto::AppendReply::ACKED);
}

TEST_F(ServiceTest, BarredWindowsAreCounted) {
  Open();
  Stream stream(*stub_);
  stream.Exchange(Chunk(0, 0, RowBuilder(kSpec).AddMany(0, 6)));
  auto request = New<proto::BarWindowsRequest>();
  request.set_count(2);
  request.set_addresses(Bytes<uint64_t>({1, 50}));
  request.set_shard_incarnation(42);
  const auto reply = rpc::CallUnary(*stub_, &Stub::BarWindows, request, kTimeout);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->barred(), 1);
  EXPECT_EQ(reply->gone(), 1);
  EXPECT_EQ(Info()->windows(), 2);
  EXPECT_EQ(Info()->barred_windows(), 1);
  request.set_count(3);
  EXPECT_EQ(rpc::CallUnary(*stub_, &Stub::BarWindows, request, kTimeout).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ServiceTest, BlockedSeedRowsAreRefusedWhenTheSeedPhaseEnds) {
  Open(/*granted=*/0);
  Stream stream(*stub_);
  const proto::AppendReply blocked =
      stream.Exchange(Chunk(0, 0, RowBuilder(kSpec).Add(0, /*has_plan=*/false)));
  EXPECT_FALSE(blocked.blocked().empty());
  ASSERT_TRUE(Grant(0, /*seed_phase_over=*/true).ok());
  const proto::AppendReply refused = stream.Read();
  EXPECT_EQ(refused.verdict(), proto::AppendReply::REFUSED);
  EXPECT_EQ(refused.code(), 9);
  EXPECT_THAT(refused.message(), HasSubstr("seed phase is over"));
  EXPECT_EQ(Info()->accepted_rows(), 0);
}

TEST_F(ServiceTest, WriterThatLeavesWhileBlockedIsForgotten) {
  Open(/*granted=*/0);
  {
    Stream stream(*stub_);
    stream.Exchange(Chunk(0, 0, RowBuilder(kSpec).Add(0)));
    EXPECT_EQ(Info()->blocked_streams(), 1);
  }  // cancels the call
  ASSERT_TRUE(Await([&] { return service_.streams() == 0; }));
  EXPECT_EQ(Info()->blocked_streams(), 0);
  ASSERT_TRUE(Grant(10).ok());
  EXPECT_EQ(Info()->accepted_rows(), 0);
}

TEST_F(ServiceTest, AnswersThatNobodyReadsAreBounded) {
  Open();
  Stream stream(*stub_);
  constexpr uint64_t kChunks = 6 * Service::kMaxReplies;
  Thread writer("write", [&] {
    for (uint64_t row = 0; row < kChunks; ++row) {
      stream.Write(Chunk(0, row, RowBuilder(kSpec).Add(row)));
    }
  });
  ASSERT_TRUE(Await([&] { return Info()->accepted_rows() >= Service::kMaxReplies; }));
  for (uint64_t answers = 0; answers < kChunks; ++answers) {
    EXPECT_LE(Info()->accepted_rows(), answers + Service::kMaxReplies + 1);
    EXPECT_EQ(stream.Read().next_row(), answers + 1);
  }
}

TEST_F(ServiceTest, UpdatePlansCountsUpdatedAndEvicted) {
  Open();
  Stream stream(*stub_);
  stream.Exchange(Chunk(0, 0, RowBuilder(kSpec).AddMany(0, 4)));
  auto request = New<proto::UpdatePlansRequest>();
  request.set_count(2);
  request.set_addresses(Bytes<uint64_t>({1, 50}));
  request.set_plan_mean(Bytes<float>({0.9f, 0.8f, 0.7f, 0.6f}));
  request.set_plan_std(Bytes<float>({1, 2, 3, 4}));
  request.set_shard_incarnation(42);
  const auto reply = rpc::CallUnary(*stub_, &Stub::UpdatePlans, request, kTimeout);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->updated(), 1);
  EXPECT_EQ(reply->evicted(), 1);
  EXPECT_EQ(NumbersIn<float>(Sample(1)->windows().plan_mean())[2], 0.9f);
  request.clear_shard_incarnation();
  EXPECT_EQ(rpc::CallUnary(*stub_, &Stub::UpdatePlans, request, kTimeout)->evicted(), 2)
      << "whose memory the addresses are of is not said";
  const auto code_with = [&](auto spoil) {
    proto::UpdatePlansRequest spoilt = request;
    spoil(&spoilt);
    return rpc::CallUnary(*stub_, &Stub::UpdatePlans, spoilt, kTimeout).status().code();
  };
  constexpr auto kBad = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code_with([](auto* r) { r->set_count(3); }), kBad);
  // Bytes left over behind whole numbers.
  EXPECT_EQ(code_with([](auto* r) { r->mutable_addresses()->append("abc"); }), kBad);
  EXPECT_EQ(code_with([](auto* r) { r->mutable_plan_mean()->append("abc"); }), kBad);
  EXPECT_EQ(code_with([](auto* r) { r->mutable_plan_std()->append("abc"); }), kBad);
}

// Plans of more rows than one message holds.
TEST_F(ServiceTest, ManyNewPlansTravelInSeveralMessages) {
  Open();
  Stream stream(*stub_);
  stream.Exchange(Chunk(0, 0, RowBuilder(kSpec).AddMany(0, 4)));
  ShardClientOptions options;
  options.run_id = "run-a";
  options.spec.set_observation_size(kSpec.observation_size);
  options.spec.set_action_size(kSpec.action_size);
  ShardClient client(options, server_->InProcessChannel());
  constexpr size_t kRows = rpc::kMaxRequestBytes / 8;
  std::vector<uint64_t> addresses(kRows, 1000);
  addresses[0] = 1;
  addresses.back() = 3;
  const size_t a = kSpec.action_size;
  std::vector<float> mean(kRows * a, 0.5f), std(kRows * a, 1.0f);
  mean.back() = 0.25f;
  const auto reply = client.UpdatePlans(Opening{42}, addresses, mean, std);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->updated(), 2);
  EXPECT_EQ(reply->evicted(), kRows - 2);
  EXPECT_EQ(NumbersIn<float>(Sample(1)->windows().plan_mean())[3 * a + a - 1], 0.25f);
}

TEST_F(ServiceTest, StreamsAreBounded) {
  Shard shard(1, Clock::Real(), std::make_unique<MemoryStore>());
  Service service(&shard, /*max_streams=*/2);
  auto server = rpc::Server::Start({}, {&service});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto stub = proto::ReplayService::NewStub((*server)->InProcessChannel());
  auto first = std::make_unique<Stream>(*stub);
  Stream second(*stub);
  ASSERT_TRUE(Await([&] { return service.streams() == 2; }));
  {
    Stream third(*stub);
    const absl::Status refused = third.AwaitEnd();
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  }
  first.reset();
  ASSERT_TRUE(Await([&] { return service.streams() == 1; }));
  Stream fourth(*stub);
  ASSERT_TRUE(Await([&] { return service.streams() == 2; }));
}

// Whatever bound the server keeps: the writer does not send again and again what never fits.
TEST_F(ServiceTest, WriterGivesUpWhereItsChunksDoNotFit) {
  Shard shard(1, Clock::Real(), std::make_unique<MemoryStore>());
  Service service(&shard);
  auto server =
      rpc::Server::Start({.listen = "127.0.0.1:0", .max_request_bytes = 300}, {&service});
  ASSERT_TRUE(server.ok()) << server.status();
  TrajectoryWriterOptions options;
  options.run_id = "run-a";
  options.spec = kSpec;
  options.shard_of_environment = {0};
  options.shards = {rpc::Endpoint((*server)->address()).Channel()};
  options.chunk_rows = 16;
  TrajectoryWriter writer(options, Clock::Real());
  writer.BeginEpisode(0);
  const RowBuilder rows = RowBuilder(kSpec).Add(1, /*has_plan=*/false);
  for (int i = 0; i < 16; ++i) {
    ASSERT_TRUE(writer.Append(0, rows.Single(), absl::ZeroDuration()).ok());
  }
  const absl::Status status = writer.Flush(absl::Seconds(20));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_NE(status.message().find("larger than max"), std::string::npos) << status;
  EXPECT_EQ(writer.stats().opened_streams, 1);
}

// A store that says when its rows are durable only when told to.
class SlowStore : public MemoryStore {
 public:
  void WhenDurable(std::function<void(absl::Status)> done) override {
    MutexLock lock(&mu_);
    waiting_.push_back(std::move(done));
    added_.Signal();
  }
  void AwaitAsked(size_t asked) {
    MutexLock lock(&mu_);
    while (waiting_.size() < asked) added_.Wait(&mu_);
  }
  // Waits until so many have asked, and tells the first.
  void TellFirst(size_t asked) {
    AwaitAsked(asked);
    std::function<void(absl::Status)> done;
    {
      MutexLock lock(&mu_);
      done = std::move(waiting_.front());
      waiting_.pop_front();
    }
    done(absl::OkStatus());
  }

 private:
  Mutex mu_;
  CondVar added_;
  std::deque<std::function<void(absl::Status)>> waiting_ ABSL_GUARDED_BY(mu_);
};

ShardConfig SmallShard() {
  return {.run_id = "run-a",
          .table = {.spec = kSpec, .horizon = 3, .capacity_rows = 100, .capacity_bytes = 1 << 20}};
}

// A gap and a refusal tell the writer which rows it may forget, as an acknowledgement does.
TEST(ServiceStoreTest, NoAnswerComesBeforeTheRowsItSpeaksOfAreDurable) {
  auto owned = std::make_unique<SlowStore>();
  SlowStore* const store = owned.get();
  Shard shard(1, Clock::Real(), std::move(owned));
  ASSERT_TRUE(shard.Configure(SmallShard()).ok());
  ASSERT_TRUE(shard.Grant({100, "", false}).ok());
  Service service(&shard);
  auto server = rpc::Server::Start({}, {&service});
  ASSERT_TRUE(server.ok());
  const auto stub = proto::ReplayService::NewStub((*server)->InProcessChannel());
  Stream stream(*stub);
  ASSERT_TRUE(stream.Write(Chunk(0, 0, RowBuilder(kSpec).AddMany(0, 2))));
  ASSERT_TRUE(stream.Write(Chunk(0, 5, RowBuilder(kSpec).Add(5))));
  // Both wait for the store: an answer to the gap that did not would never ask it.
  store->TellFirst(2);
  EXPECT_EQ(stream.Read().verdict(), proto::AppendReply::ACKED);
  store->TellFirst(1);
  const proto::AppendReply gap = stream.Read();
  EXPECT_EQ(gap.verdict(), proto::AppendReply::GAP);
  EXPECT_EQ(gap.next_row(), 2);
  EXPECT_TRUE(stream.Finish().ok());
}

class FullStore : public MemoryStore {
 public:
  absl::Status Admits() const override {
    return absl::ResourceExhaustedError("the shard's disk is full");
  }
};

TEST(ServiceStoreTest, AWriterIsToldThatTheStoreTakesNoRows) {
  Shard shard(1, Clock::Real(), std::make_unique<FullStore>());
  ASSERT_TRUE(shard.Configure(SmallShard()).ok());
  ASSERT_TRUE(shard.Grant({100, "", false}).ok());
  Service service(&shard);
  auto server = rpc::Server::Start({}, {&service});
  ASSERT_TRUE(server.ok());
  const auto stub = proto::ReplayService::NewStub((*server)->InProcessChannel());
  Stream stream(*stub);
  EXPECT_EQ(stream.Exchange(Chunk(0, 0, RowBuilder(kSpec).Add(0))).blocked(),
            "the shard's disk is full");
  EXPECT_EQ(shard.counts().waiting_for_store, 1);
  service.Drain();
}

// A full disk: what is appended never becomes durable.
TEST(ServiceStoreTest, AnImportThatWaitsForTheStoreDoesNotHoldUpTheShutdown) {
  auto owned = std::make_unique<SlowStore>();
  SlowStore* const store = owned.get();
  Shard shard(1, Clock::Real(), std::move(owned));
  ASSERT_TRUE(shard.Configure(SmallShard()).ok());
  Service service(&shard);
  auto server = rpc::Server::Start({}, {&service});
  ASSERT_TRUE(server.ok());
  const auto stub = proto::ReplayService::NewStub((*server)->InProcessChannel());
  proto::ImportRowsRequest request;
  *request.mutable_header() = rpc::MakeHeader("run-a");
  absl::Status status;
  Thread import("import", [&] {
    status =
        rpc::CallUnary(*stub, &proto::ReplayService::Stub::ImportRows, request, kTimeout).status();
  });
  store->AwaitAsked(1);
  (*server)->Shutdown(absl::ZeroDuration());
  import.Join();
  EXPECT_FALSE(status.ok());
  // The store's answer comes too late, and is to nobody.
  store->TellFirst(1);
}

// A store whose snapshots end only when told to.
class SlowSnapshots : public MemoryStore {
 public:
  absl::StatusOr<std::string> Snapshot(const std::string& name) override {
    begun_.Set();
    end_.Wait();
    return "/data/" + name;
  }
  Event begun_, end_;
};

TEST(ServiceStoreTest, ASnapshotHoldsUpNoOtherCallAndASecondOneIsRefused) {
  auto owned = std::make_unique<SlowSnapshots>();
  SlowSnapshots* const store = owned.get();
  Shard shard(1, Clock::Real(), std::move(owned));
  ASSERT_TRUE(shard.Configure(SmallShard()).ok());
  Service service(&shard);
  auto server = rpc::Server::Start({}, {&service});
  ASSERT_TRUE(server.ok());
  using Stub = proto::ReplayService::Stub;
  const auto stub = proto::ReplayService::NewStub((*server)->InProcessChannel());
  const auto snapshot = [&stub](const std::string& name) {
    proto::SnapshotRequest request;
    *request.mutable_header() = rpc::MakeHeader("run-a");
    request.set_name(name);
    return rpc::CallUnary(*stub, &Stub::Snapshot, request, kTimeout);
  };
  absl::StatusOr<proto::SnapshotReply> first;
  Thread caller("first", [&] { first = snapshot("first"); });
  store->begun_.Wait();
  const absl::Status second = snapshot("second").status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable) << second;
  EXPECT_EQ(second.message(), "another snapshot runs");
  proto::InfoRequest info;
  *info.mutable_header() = rpc::MakeHeader("run-a");
  EXPECT_TRUE(rpc::CallUnary(*stub, &Stub::Info, info, kTimeout).ok());
  store->end_.Set();
  caller.Join();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->folder(), "/data/first");
  const auto third = snapshot("third");
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_EQ(third->folder(), "/data/third");
}

TEST_F(ServiceTest, DrainEndsIdleAndBlockedStreamsAndRefusesNewOnes) {
  Open(/*granted=*/1);
  Stream idle(*stub_), blocked(*stub_);
  idle.Exchange(Chunk(0, 0, RowBuilder(kSpec).Add(0)));
  EXPECT_FALSE(blocked.Exchange(Chunk(1, 0, RowBuilder(kSpec).Add(0))).blocked().empty());
  service_.Drain();
  EXPECT_EQ(idle.AwaitEnd().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(blocked.AwaitEnd().code(), absl::StatusCode::kUnavailable);
  Stream late(*stub_);
  EXPECT_EQ(late.AwaitEnd().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Info()->blocked_streams(), 0);
}

}  // namespace
}  // namespace pompc::replay
