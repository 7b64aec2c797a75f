#include <algorithm>
#include <atomic>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "common/base/threads.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/client/shard_client.h"
#include "replay/client/trajectory_writer.h"
#include "replay/service.h"
#include "tests/replay/row_builder.h"
#include "tests/support/await.h"

namespace pompc::replay {
namespace {

using ::testing::HasSubstr;

constexpr RowSpec kSpec{.observation_size = 3, .action_size = 2};
constexpr uint32_t kHorizon = 3;
constexpr absl::Duration kLong = absl::Seconds(20);

// A shard whose server can be taken away and given back on the same port, with or without its rows.
class TestShard {
 public:
  TestShard() {
    Forget();
    StartServer();
  }
  void StartServer() {
    auto server = rpc::Server::Start({.listen = address_}, {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = server_->address();
  }
  void StopServer() {
    service_->Drain();
    server_->Shutdown(absl::Milliseconds(100));
    server_.reset();
    service_ = std::make_unique<Service>(shard_.get());
  }
  // REQUIRES: no server runs.
  void Forget() {
    service_.reset();
    shard_ =
        std::make_unique<Shard>(++incarnation_, Clock::Real(), std::make_unique<MemoryStore>());
    service_ = std::make_unique<Service>(shard_.get());
  }
  std::shared_ptr<grpc::Channel> Channel() { return rpc::Endpoint(address_).Channel(); }
  Shard& shard() { return *shard_; }

 private:
  std::string address_ = "127.0.0.1:0";
  uint64_t incarnation_ = 0;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<rpc::Server> server_;
};

class WriterTest : public ::testing::Test {
 protected:
  WriterTest() {
    options_.run_id = "run-a";
    options_.actor_index = 1;
    options_.incarnation = 1;
    options_.spec = kSpec;
    options_.shard_of_environment = {0};
    options_.chunk_rows = 4;
    options_.max_unacked_rows = 8;
    options_.flush_after = absl::Milliseconds(1);
    options_.backoff = {.initial = absl::Milliseconds(5), .max = absl::Milliseconds(50)};
  }

  // Starts `n` shards, opened for the run.
  void StartShards(int n, uint64_t granted = 1000000) {
    for (int i = 0; i < n; ++i) {
      shards_.push_back(std::make_unique<TestShard>());
      options_.shards.push_back(shards_.back()->Channel());
      clients_.push_back(MakeClient(i));
      ASSERT_TRUE(clients_.back()->Configure().ok());
      ASSERT_TRUE(clients_.back()->Grant({granted, "rows run ahead", false}).ok());
    }
  }
  std::unique_ptr<ShardClient> MakeClient(uint32_t index) {
    ShardClientOptions options;
    options.run_id = "run-a";
    options.shard_index = index;
    options.spec.set_observation_size(kSpec.observation_size);
    options.spec.set_action_size(kSpec.action_size);
    options.horizon = kHorizon;
    options.capacity_rows = 100000;
    options.capacity_bytes = uint64_t{1} << 30;
    return std::make_unique<ShardClient>(options, shards_[index]->Channel());
  }
  void StartWriter() {
    ASSERT_TRUE(options_.Validate().ok()) << options_.Validate();
    writer_ = std::make_unique<TrajectoryWriter>(options_, Clock::Real());
    for (uint32_t e = 0; e < options_.shard_of_environment.size(); ++e) writer_->BeginEpisode(e);
  }
  absl::Status Append(uint32_t environment, uint64_t id, absl::Duration timeout = kLong,
                      bool has_plan = true) {
    RowBuilder row = RowBuilder(kSpec).Add(id, has_plan);
    // Any shard takes it, whatever the learner has told of versions.
    row.plan_value_[0] = 0;
    row.versions_[0] = {};
    return writer_->Append(environment, row.Single(), timeout);
  }
  absl::Status End(uint32_t environment, uint64_t id) {
    return writer_->EndEpisode(environment, RowBuilder(kSpec).Final(id).final_);
  }
  // Ids of the first rows of all windows of a shard, by sampling often.
  std::set<uint64_t> WindowStarts(uint32_t shard) {
    std::set<uint64_t> starts;
    const absl::StatusOr<WindowBatch> batch = clients_[shard]->Sample(5000, 1);
    EXPECT_TRUE(batch.ok()) << batch.status();
    if (!batch.ok()) return starts;
    const std::vector<float> observations = batch->Numbers<float>("observations");
    for (size_t b = 0; b < batch->count(); ++b) {
      const float* window = &observations[b * (kHorizon + 1) * 3];
      for (uint32_t t = 1; t <= kHorizon; ++t) EXPECT_EQ(window[t * 3], window[0] + t);
      starts.insert(static_cast<uint64_t>(window[0]));
    }
    return starts;
  }

  // Appends rows with ids from *id on until the only shard, granted `granted` rows, holds a chunk
  // that it may not take, and the writer has heard of all it took and wants no more.
  void AppendUntilHeld(uint64_t granted, uint64_t* id) {
    for (;;) {
      if (writer_->HasRoom(0)) {
        ASSERT_TRUE(Append(0, (*id)++).ok());
      }
      const ShardCounts counts = shards_[0]->shard().counts();
      if (counts.blocked_writers() == 1 && counts.accepted_rows >= granted &&
          writer_->stats().acked_rows == counts.accepted_rows && !writer_->HasRoom(0)) {
        return;
      }
    }
  }

  std::vector<std::unique_ptr<TestShard>> shards_;
  std::vector<std::unique_ptr<ShardClient>> clients_;
  TrajectoryWriterOptions options_;
  std::unique_ptr<TrajectoryWriter> writer_;
};

ptrdiff_t Threads() {
  namespace fs = std::filesystem;
  return std::distance(fs::directory_iterator("/proc/self/task"), fs::directory_iterator());
}

// gRPC may add threads under load; none is added for an environment.
TEST_F(WriterTest, HundredsOfEnvironmentsTakeAStreamForEachShardAndNoThreads) {
  constexpr uint32_t kEnvironments = 512, kRows = 20, kSomeOfGrpc = 64;
  options_.shard_of_environment = {0, 1};
  StartShards(2);
  StartWriter();
  for (uint64_t t = 0; t < kRows; ++t) {
    for (uint32_t e = 0; e < 2; ++e) ASSERT_TRUE(Append(e, e * 1000 + t).ok());
  }
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  const ptrdiff_t few = Threads();
  writer_.reset();
  options_.incarnation = 2;
  options_.shard_of_environment.clear();
  for (uint32_t e = 0; e < kEnvironments; ++e) options_.shard_of_environment.push_back(e % 2);
  StartWriter();
  uint64_t most_unacked = 0;
  for (uint64_t t = 0; t < kRows; ++t) {
    for (uint32_t e = 0; e < kEnvironments; ++e) ASSERT_TRUE(Append(e, e * 1000 + t).ok());
    most_unacked = std::max(most_unacked, writer_->stats().unacked_rows);
  }
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  RecordProperty("threads_of_two_environments", static_cast<int>(few));
  RecordProperty("threads", static_cast<int>(Threads()));
  RecordProperty("most_unacked_rows", static_cast<int>(most_unacked));
  EXPECT_LT(Threads(), few + kSomeOfGrpc);
  EXPECT_LE(most_unacked, uint64_t{kEnvironments} * options_.max_unacked_rows);
  EXPECT_EQ(writer_->stats().opened_streams, 2u);
  EXPECT_EQ(writer_->stats().resent_rows, 0u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(shards_[i]->shard().counts().accepted_rows, kRows + kRows * kEnvironments / 2);
  }
}

TEST_F(WriterTest, RowsArriveInOrderAndEpisodesEnd) {
  StartShards(1);
  StartWriter();
  for (uint64_t id = 0; id < 10; ++id) ASSERT_TRUE(Append(0, id).ok());
  ASSERT_TRUE(End(0, 10).ok());
  EXPECT_EQ(Append(0, 11).code(), absl::StatusCode::kFailedPrecondition);
  writer_->BeginEpisode(0);
  for (uint64_t id = 20; id < 25; ++id) ASSERT_TRUE(Append(0, id).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  const ShardCounts counts = shards_[0]->shard().counts();
  EXPECT_EQ(counts.accepted_rows, 15);
  EXPECT_EQ(counts.windows, 8 + 2);
  EXPECT_EQ(WindowStarts(0), (std::set<uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 20, 21}));
  const TrajectoryWriter::Stats stats = writer_->stats();
  EXPECT_EQ(stats.appended_rows, 15);
  EXPECT_EQ(stats.acked_rows, 15);
  EXPECT_EQ(stats.unacked_rows, 0);
  EXPECT_EQ(stats.opened_streams, 1);
}

TEST_F(WriterTest, ManyEnvironmentsShareOneStreamPerShard) {
  options_.shard_of_environment = {0, 1, 0, 1, 1};
  StartShards(2);
  StartWriter();
  for (uint64_t t = 0; t < 30; ++t) {
    for (uint32_t e = 0; e < 5; ++e) ASSERT_TRUE(Append(e, e * 1000 + t).ok());
  }
  for (uint32_t e = 0; e < 5; ++e) ASSERT_TRUE(End(e, e * 1000 + 30).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_EQ(shards_[0]->shard().counts().accepted_rows, 60);
  EXPECT_EQ(shards_[1]->shard().counts().accepted_rows, 90);
  EXPECT_EQ(WindowStarts(0).size(), 2 * 28);
  EXPECT_EQ(WindowStarts(1).size(), 3 * 28);
  EXPECT_EQ(writer_->stats().opened_streams, 2);
  EXPECT_EQ(clients_[0]->Info()->streams(), 1);
}

TEST_F(WriterTest, ClosedLimiterHoldsTheWriterWithinItsBoundAndSaysWhy) {
  StartShards(1, /*granted=*/4);
  StartWriter();
  uint64_t id = 0;
  AppendUntilHeld(4, &id);
  EXPECT_GE(id, 4 + options_.chunk_rows);
  while (Append(0, id, absl::ZeroDuration()).ok()) ++id;
  EXPECT_EQ(id, 4 + options_.max_unacked_rows);
  ASSERT_TRUE(
      Await([&] { return writer_->WaitReason(0).find("stopped reading") != std::string::npos; }));
  const absl::Status status = Append(0, id, absl::Milliseconds(1));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(writer_->WaitReason(0), HasSubstr("shard took 4 rows of 4 granted: rows run ahead"));
  EXPECT_EQ(shards_[0]->shard().counts().accepted_rows, 4);
  const absl::Status flush = writer_->Flush(absl::Milliseconds(1));
  EXPECT_EQ(flush.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(flush.message(),
              HasSubstr("8 rows are not acknowledged: replay shard 0 has stopped"));

  ASSERT_TRUE(clients_[0]->Grant({1000, "", false}).ok());
  ASSERT_TRUE(Append(0, id++).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_EQ(shards_[0]->shard().counts().accepted_rows, id) << "nothing is lost";
  EXPECT_EQ(writer_->WaitReason(0), "");
}

TEST_F(WriterTest, RoomIsReportedToWhoWasToldThereIsNone) {
  std::atomic<int> reports = 0;
  options_.on_room = [&](uint32_t environment) { reports += environment == 0 ? 1 : 100; };
  StartShards(1, /*granted=*/4);
  StartWriter();
  uint64_t id = 0;
  AppendUntilHeld(4, &id);
  EXPECT_FALSE(writer_->HasRoom(0));
  const int before = reports;
  EXPECT_LE(before, static_cast<int>(id));
  ASSERT_TRUE(clients_[0]->Grant({1000, "", false}).ok());
  ASSERT_TRUE(Await([&] { return reports != before; }));
  EXPECT_TRUE(writer_->HasRoom(0));
  writer_->Close();  // before what it reports to goes
}

TEST_F(WriterTest, BadRowsAreRefusedBeforeTheyAreTaken) {
  StartShards(1);
  StartWriter();
  RowBuilder bad = RowBuilder(kSpec).Add(1), small = bad, big = bad;
  bad.observations_[2] = 0.0f / 0.0f;
  small.observations_ = {1};
  big.actions_[1] = 2;
  const absl::Status status = writer_->Append(0, bad.Single(), kLong);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("observation number 2 is"));
  EXPECT_EQ(writer_->Append(0, small.Single(), kLong).message(),
            "observation has 1 numbers, expected 3");
  EXPECT_FALSE(writer_->Append(0, big.Single(), kLong).ok());
  EXPECT_EQ(writer_->EndEpisode(0, bad.observations_).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(writer_->stats().appended_rows, 0);
}

TEST_F(WriterTest, RefusedEpisodeIsReportedAndTheNextOneGoesOn) {
  Event refused;
  absl::Status why;
  uint32_t environment = 99;
  options_.on_refused = [&](const Refusal& refusal) {
    environment = refusal.environment;
    why = refusal.why;
    refused.Set();
  };
  StartShards(1);
  ASSERT_TRUE(clients_[0]->Grant({1000000, "", /*seed_phase_over=*/true}).ok());
  StartWriter();
  ASSERT_TRUE(Append(0, 1, kLong, /*has_plan=*/false).ok());
  refused.Wait();
  EXPECT_EQ(environment, 0);
  EXPECT_EQ(why.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(why.message(), HasSubstr("seed phase is over"));
  const absl::Status status = Append(0, 2);
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(status.message(), HasSubstr("the shard refused the episode"));
  writer_->BeginEpisode(0);
  ASSERT_TRUE(Append(0, 3).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_EQ(shards_[0]->shard().counts().accepted_rows, 1);
  EXPECT_EQ(writer_->stats().dropped_rows, 1);
  EXPECT_EQ(writer_->Acknowledged(0), 1);
  writer_->Close();  // before what it reports to goes
}

TEST_F(WriterTest, ServerRestartLosesAndRepeatsNothing) {
  uint64_t id = 0, granted = 20;
  StartShards(1, granted);
  StartWriter();
  for (int restart = 0; restart < 3; ++restart) {
    AppendUntilHeld(granted, &id);
    shards_[0]->StopServer();
    ASSERT_TRUE(Await(
        [&] { return writer_->WaitReason(0).find("cannot be reached") != std::string::npos; }));
    absl::Status full;
    while ((full = Append(0, id, absl::ZeroDuration())).ok()) ++id;
    EXPECT_EQ(full.code(), absl::StatusCode::kDeadlineExceeded);
    shards_[0]->StartServer();
    granted = id + 20;
    // Once its channel has reconnected.
    ASSERT_TRUE(Await([&] { return clients_[0]->Grant({granted, "rows run ahead", false}).ok(); }));
  }
  ASSERT_TRUE(Append(0, id++).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_EQ(shards_[0]->shard().counts().accepted_rows, id);
  EXPECT_EQ(WindowStarts(0).size(), id - kHorizon) << "one unbroken segment";
  EXPECT_GE(writer_->stats().resent_rows, 3);
  EXPECT_GE(writer_->stats().opened_streams, 4);
}

TEST_F(WriterTest, ShardThatLostItsRowsGetsTheRestAsANewSegment) {
  std::atomic<int> resumed = 0;
  options_.on_resumed = [&](uint32_t environment) { resumed += environment == 0 ? 1 : 100; };
  StartShards(1);
  StartWriter();
  for (uint64_t id = 0; id < 20; ++id) ASSERT_TRUE(Append(0, id).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  shards_[0]->StopServer();
  shards_[0]->Forget();
  shards_[0]->StartServer();
  for (uint64_t id = 20; id < 24; ++id) ASSERT_TRUE(Append(0, id).ok());
  // Once its channel has reconnected.
  ASSERT_TRUE(Await([&] { return clients_[0]->Configure().ok(); }));
  ASSERT_TRUE(clients_[0]->Grant({1000, "", false}).ok());
  for (uint64_t id = 24; id < 30; ++id) ASSERT_TRUE(Append(0, id).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_EQ(shards_[0]->shard().counts().accepted_rows, 10);
  EXPECT_EQ(WindowStarts(0), (std::set<uint64_t>{20, 21, 22, 23, 24, 25, 26}));
  EXPECT_EQ(writer_->stats().resumed_segments, 1);
  EXPECT_TRUE(Await([&] { return resumed == 1; }));
  writer_->Close();  // before what it reports to goes
}

TEST_F(WriterTest, ShardOfAnotherRunTurnsTheWriterAway) {
  StartShards(1);
  options_.run_id = "run-b";
  StartWriter();
  ASSERT_TRUE(Append(0, 1).ok());
  const absl::Status status = writer_->Flush(kLong);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("run-a"));
  EXPECT_EQ(Append(0, 2).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(writer_->HasRoom(0)) << "the next row meets the error";
  EXPECT_THAT(writer_->HeldReason(0), HasSubstr("refused this actor"));
}

TEST_F(WriterTest, AskingWhyAnEnvironmentIsHeldAsksForNoReport) {
  std::atomic<int> reports = 0;
  options_.on_room = [&](uint32_t) { ++reports; };
  StartShards(1, /*granted=*/4);
  StartWriter();
  EXPECT_EQ(writer_->HeldReason(0), "");
  uint64_t id = 0;
  while (Append(0, id, absl::ZeroDuration()).ok()) ++id;
  ASSERT_TRUE(Await([&] { return shards_[0]->shard().counts().blocked_writers() == 1; }));
  ASSERT_TRUE(Await(
      [&] { return writer_->HeldReason(0).find("has stopped reading") != std::string::npos; }));
  ASSERT_TRUE(clients_[0]->Grant({1000, "", false}).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  EXPECT_EQ(writer_->HeldReason(0), "");
  writer_->Close();
  EXPECT_EQ(reports, 0);
}

TEST_F(WriterTest, CloseWakesWhoWaitsAndIsIdempotent) {
  StartShards(1, /*granted=*/0);
  StartWriter();
  absl::Status status;
  Thread waiting("append", [&] {
    for (uint64_t id = 0; status.ok(); ++id) status = Append(0, id, absl::InfiniteDuration());
  });
  ASSERT_TRUE(Await([&] { return !writer_->HasRoom(0); }));
  writer_->Close();
  waiting.Join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  writer_->Close();
  EXPECT_EQ(Append(0, 1).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(writer_->Flush(kLong).code(), absl::StatusCode::kCancelled);
}

TEST_F(WriterTest, OptionsThatCannotWorkAreNamed) {
  EXPECT_THAT(options_.Validate().message(), HasSubstr("shards"));
  options_.shards.resize(1);
  EXPECT_TRUE(options_.Validate().ok());
  options_.shard_of_environment = {1};
  EXPECT_THAT(options_.Validate().message(), HasSubstr("shard_of_environment"));
  options_.shard_of_environment = {0};
  options_.chunk_rows = 0;
  EXPECT_THAT(options_.Validate().message(), HasSubstr("chunk_rows"));
  options_.chunk_rows = 1;
  options_.stream_max_age = absl::ZeroDuration();
  EXPECT_THAT(options_.Validate().message(), HasSubstr("stream_max_age"));
  options_.stream_max_age = absl::Seconds(1);
  options_.progress_timeout = absl::ZeroDuration();
  EXPECT_THAT(options_.Validate().message(), HasSubstr("progress_timeout"));
}

TEST_F(WriterTest, SplitBatchesSampleTheUnionOfTheShardsUniformly) {
  options_.shard_of_environment = {0, 1};
  StartShards(2);
  StartWriter();
  for (uint64_t id = 0; id < 5; ++id) ASSERT_TRUE(Append(0, id).ok());      // 2 windows
  for (uint64_t id = 100; id < 111; ++id) ASSERT_TRUE(Append(1, id).ok());  // 8 windows
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  const std::vector<uint64_t> windows = {clients_[0]->Info()->windows(),
                                         clients_[1]->Info()->windows()};
  EXPECT_EQ(windows, (std::vector<uint64_t>{2, 8}));
  std::map<float, int> starts;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const std::vector<uint32_t> shares = SplitBatch(200, windows, seed);
    for (int shard = 0; shard < 2; ++shard) {
      const absl::StatusOr<WindowBatch> batch = clients_[shard]->Sample(shares[shard], seed);
      ASSERT_TRUE(batch.ok()) << batch.status();
      const std::vector<float> observations = batch->Numbers<float>("observations");
      for (size_t b = 0; b < batch->count(); ++b) ++starts[observations[b * 4 * 3]];
    }
  }
  ASSERT_EQ(starts.size(), 10);
  for (const auto& [id, n] : starts) EXPECT_NEAR(n, 1000, 5 * 30) << "window of row " << id;
}

TEST_F(WriterTest, ShardClientCallsEndWithItsClose) {
  StartShards(1);
  StartWriter();
  for (uint64_t id = 0; id < 5; ++id) ASSERT_TRUE(Append(0, id).ok());
  ASSERT_TRUE(writer_->Flush(kLong).ok());
  std::atomic<int> done = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    clients_[0]->SampleAsync(10, seed, [&](absl::StatusOr<WindowBatch>) { ++done; });
  }
  clients_[0]->Close();
  EXPECT_EQ(done, 20);
  EXPECT_EQ(clients_[0]->Sample(1, 1).status().code(), absl::StatusCode::kCancelled);
}

TEST_F(WriterTest, ShardThatIsNotThereIsUnavailable) {
  StartShards(1);
  shards_[0]->StopServer();
  EXPECT_EQ(clients_[0]->Info().status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace pompc::replay
