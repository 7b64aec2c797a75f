#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/threads.h"
#include "common/rpc/server.h"
#include "replay/client/data_set_import.h"
#include "replay/client/shard_client.h"
#include "replay/dataset/data_set.h"
#include "replay/dataset/data_set_writer.h"
#include "replay/service.h"
#include "tests/replay/row_builder.h"
#include "tests/replay/window_batch_testing.h"
#include "tests/rundir/scratch_folder.h"

namespace pompc::replay {
namespace {

using ::testing::HasSubstr;

constexpr RowSpec kSpec = {.observation_size = 3, .action_size = 2};
constexpr uint32_t kHorizon = 3;

// Data sets on their way into a shard: the shard itself, its service and its client.
class ImportTest : public ::testing::Test {
 protected:
  void StartShard() {
    server_.reset();
    service_.reset();
    shard_ = std::make_unique<Shard>(++memories_, &clock_, std::make_unique<MemoryStore>());
    service_ = std::make_unique<Service>(shard_.get());
    auto server = rpc::Server::Start({}, {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::unique_ptr<ShardClient> Client(uint32_t shard = 0, uint32_t shards = 1) {
    ShardClientOptions options;
    options.run_id = "run-a";
    options.start = {1, 1};
    options.shard_index = shard;
    options.shard_count = shards;
    options.spec.set_observation_size(kSpec.observation_size);
    options.spec.set_action_size(kSpec.action_size);
    options.spec.set_terminates(terminates_);
    options.horizon = kHorizon;
    options.capacity_rows = 100000;
    options.capacity_bytes = uint64_t{1} << 30;
    options.timeout = absl::Seconds(20);
    auto client = std::make_unique<ShardClient>(options, server_->InProcessChannel());
    const auto info = client->Configure();
    EXPECT_TRUE(info.ok()) << info.status();
    return client;
  }

  // Episodes of these many rows, every row with a number of its own; the last one terminated.
  CheckedDataSet Write(const std::vector<uint32_t>& lengths, bool plans = false) {
    const std::string path = folder_.File("rows.safetensors");
    auto writer = *DataSetWriter::Create(path, kSpec, {});
    uint64_t id = 0;
    for (size_t episode = 0; episode < lengths.size(); ++episode) {
      RowBuilder rows(kSpec);
      rows.AddMany(id, lengths[episode], plans).Final(10000 + episode);
      if (terminates_ && episode + 1 == lengths.size()) rows.Terminal();
      const std::vector<uint64_t> addresses(lengths[episode]);
      EXPECT_TRUE(writer->Append({0, {.episode = episode}}, 0, addresses, rows.View()).ok());
      id += lengths[episode];
    }
    EXPECT_TRUE(writer->Finish().ok());
    std::shared_ptr<const DataSet> data = *DataSet::Open(path);
    const absl::StatusOr<uint32_t> checked = data->Check(RowLimits());
    EXPECT_TRUE(checked.ok()) << checked.status();
    return {data, checked.value_or(0)};
  }
  // Steps that it takes.
  static int ImportAll(DataSetImport* import, ShardClient* client) {
    int steps = 0;
    while (!import->done() && steps < 1000) {
      const absl::Status status = import->Step(client);
      EXPECT_TRUE(status.ok()) << status;
      ++steps;
    }
    EXPECT_TRUE(import->done());
    return steps;
  }

  FakeClock clock_;
  ScratchFolder folder_;
  bool terminates_ = true;
  uint64_t memories_ = 40;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<rpc::Server> server_;
};

TEST_F(ImportTest, RowsArriveWithoutAGrantAndDoNotCountAsAccepted) {
  StartShard();
  const auto client = Client();
  DataSetImport import(Write({50, 2000, 7}), 0, 1);
  EXPECT_EQ(import.rows(), 2057u);
  ImportAll(&import, client.get());
  const ShardCounts counts = shard_->counts();
  EXPECT_EQ(counts.imported_rows, 2057u);
  EXPECT_EQ(counts.stored_rows, 2057u);
  EXPECT_EQ(counts.accepted_rows, 0u);
  EXPECT_EQ(counts.planned_rows, 0u);
  EXPECT_EQ(counts.max_accepted_rows, 0u);
  // One window for each row with H rows left, and H observations behind them.
  EXPECT_EQ(counts.windows, 48u + 1998u + 5u);
  const auto info = client->Info();
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->imported_rows(), 2057u);
}

TEST_F(ImportTest, WindowsHoldTheRowsOfTheFileWithoutPlansAndVersions) {
  StartShard();
  const auto client = Client();
  DataSetImport import(Write({3}, /*plans=*/true), 0, 1);
  ImportAll(&import, client.get());
  const absl::StatusOr<WindowBatch> batch = client->Sample(1, 7);
  ASSERT_TRUE(batch.ok()) << batch.status();
  const BatchColumns window(*batch);
  EXPECT_EQ(window.Get<float>("rewards")[2], RowBuilder::Reward(2));
  EXPECT_EQ(window.Get<float>("observations")[kHorizon * 3], RowBuilder::Observation(10000, 0));
  EXPECT_EQ(window.Get<uint8_t>("has_plan")[1], 1);
  EXPECT_EQ(window.Get<float>("plan_mean")[2], RowBuilder::PlanMean(1, 0));
  EXPECT_EQ(window.Get<uint8_t>("terminated")[2], 1);
  EXPECT_FALSE(window.Get<ParameterVersion>("versions")[0].valid());
}

TEST_F(ImportTest, WhatIsThereIsNotSentAgain) {
  StartShard();
  const auto client = Client();
  const CheckedDataSet data = Write({20000, 20000, 10});
  DataSetImport first(data, 0, 1);
  // Interrupted in the middle of an episode.
  ASSERT_TRUE(first.Step(client.get()).ok());
  ASSERT_TRUE(first.Step(client.get()).ok());
  const uint64_t part = first.rows_done();
  EXPECT_GT(part, 0u);
  EXPECT_LT(part, 40010u);
  DataSetImport second(data, 0, 1);
  ASSERT_TRUE(second.Step(client.get()).ok());
  EXPECT_EQ(second.rows_done(), part);
  ImportAll(&second, client.get());
  EXPECT_EQ(shard_->counts().imported_rows, 40010u);
  DataSetImport third(data, 0, 1);
  EXPECT_EQ(ImportAll(&third, client.get()), 1);
  EXPECT_EQ(shard_->counts().stored_rows, 40010u);
  // The same rows under another name are the same data set; others are not.
  DataSetImport other(Write({20000, 20000, 11}), 0, 1);
  ImportAll(&other, client.get());
  EXPECT_EQ(shard_->counts().imported_rows, 80021u);
}

TEST_F(ImportTest, AShardThatLostItsMemoryGetsTheRowsAgain) {
  StartShard();
  auto client = Client();
  const CheckedDataSet data = Write({30, 40});
  DataSetImport first(data, 0, 1);
  ImportAll(&first, client.get());
  client.reset();
  StartShard();
  client = Client();
  DataSetImport again(data, 0, 1);
  EXPECT_GT(ImportAll(&again, client.get()), 1);
  EXPECT_EQ(shard_->counts().imported_rows, 70u);
}

TEST_F(ImportTest, EpisodesAreDividedOverTheShards) {
  const CheckedDataSet data = Write({10, 20, 30, 40, 50});
  const std::vector<uint64_t> parts = {10 + 40, 20 + 50, 30};
  for (uint32_t shard = 0; shard < 3; ++shard) {
    StartShard();
    const auto client = Client(shard, 3);
    DataSetImport import(data, shard, 3);
    EXPECT_EQ(import.rows(), parts[shard]);
    ImportAll(&import, client.get());
    EXPECT_EQ(shard_->counts().imported_rows, parts[shard]);
  }
  StartShard();
  const auto client = Client(6, 7);
  DataSetImport nothing(data, 6, 7);
  EXPECT_EQ(nothing.rows(), 0u);
  EXPECT_FALSE(nothing.done());
  EXPECT_EQ(ImportAll(&nothing, client.get()), 1);
}

TEST_F(ImportTest, RowsWithoutPlansArriveAfterTheSeedPhase) {
  StartShard();
  const auto client = Client();
  RowGrant grant = {.max_accepted_rows = 0, .reason = "test", .seed_phase_over = true};
  grant.newest_version = {1, 0};
  ASSERT_TRUE(client->Grant(grant).ok());
  DataSetImport import(Write({20}), 0, 1);
  ImportAll(&import, client.get());
  EXPECT_EQ(shard_->counts().imported_rows, 20u);
}

TEST_F(ImportTest, ARowThatTheRunDoesNotAllowIsNamed) {
  const CheckedDataSet data = Write({20, 20});
  terminates_ = false;
  StartShard();
  const auto client = Client();
  DataSetImport import(data, 0, 1);
  ASSERT_TRUE(import.Step(client.get()).ok());
  const absl::Status status = import.Step(client.get());
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  for (const char* text : {"rows.safetensors", "episode 1", "row 19", "terminated is 1"}) {
    EXPECT_THAT(status.message(), HasSubstr(text));
  }
  // The episode before it is stored.
  EXPECT_EQ(shard_->counts().imported_rows, 20u);
}

TEST_F(ImportTest, NoWriterMayTakeTheNameOfADataSet) {
  StartShard();
  const auto client = Client();
  const RowBuilder rows = std::move(RowBuilder(kSpec).AddMany(0, 2, false));
  const AppendOutcome outcome =
      shard_->Append({.actor_index = 0xffffffffu, .incarnation = 1}, 0, rows.View(), nullptr);
  EXPECT_EQ(outcome.kind, AppendOutcome::Kind::kRefused);
  EXPECT_TRUE(absl::IsInvalidArgument(outcome.status));
}

TEST_F(ImportTest, MissingRowsAreNotSkipped) {
  StartShard();
  const auto client = Client();
  const RowBuilder rows = std::move(RowBuilder(kSpec).AddMany(0, 2, false));
  EXPECT_EQ(shard_->Import(9, 0, 5, rows.View()).kind, AppendOutcome::Kind::kGap);
  EXPECT_EQ(shard_->Import(9, 0, 0, rows.View()).kind, AppendOutcome::Kind::kAcked);
  EXPECT_EQ(shard_->Imported(9)->next_row, 2u);
  EXPECT_FALSE(shard_->Imported(8)->episode.has_value());
}

}  // namespace
}  // namespace pompc::replay
