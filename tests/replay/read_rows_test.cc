#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "common/rpc/server.h"
#include "common/rpc/wire.h"
#include "grpcpp/channel.h"
#include "replay/client/row_reader.h"
#include "replay/client/shard_client.h"
#include "replay/service.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr RowSpec kSpec = {.observation_size = 3, .action_size = 2};

// A shard that is looked into by those who know nothing of its run.
class ReadRowsTest : public ::testing::Test {
 protected:
  ReadRowsTest() {
    auto server = rpc::Server::Start({}, {&service_});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void Configure(uint64_t capacity_rows = 1000) {
    ShardClientOptions options;
    options.run_id = "run-a";
    options.start = {1, 1};
    options.shard_index = 1;
    options.shard_count = 2;
    options.spec.set_observation_size(kSpec.observation_size);
    options.spec.set_action_size(kSpec.action_size);
    options.horizon = 3;
    options.capacity_rows = capacity_rows;
    options.capacity_bytes = uint64_t{1} << 30;
    options.task = "pendulum-swingup";
    options.action_repeat = 4;
    ShardClient client(options, server_->InProcessChannel());
    ASSERT_TRUE(client.Configure().ok());
    ASSERT_TRUE(client.Grant({.max_accepted_rows = 1000000, .reason = "test"}).ok());
  }
  void Append(uint32_t environment, uint64_t episode, uint64_t first_row, const RowBuilder& rows) {
    const SegmentId segment = {
        .actor_index = 2, .incarnation = 7, .environment = environment, .episode = episode};
    const AppendOutcome outcome = shard_.Append(segment, first_row, rows.View(), nullptr);
    ASSERT_EQ(outcome.kind, AppendOutcome::Kind::kAcked) << outcome.status;
  }
  absl::StatusOr<std::unique_ptr<RowReader>> Connect() {
    return RowReader::Connect(rpc::Endpoint(server_->InProcessChannel()), absl::Seconds(20));
  }
  // "environment.episode rows first..last @address+final" of each run.
  std::vector<std::string> Runs(const RowSelection& selection) {
    std::vector<std::string> runs;
    auto reader = Connect();
    EXPECT_TRUE(reader.ok()) << reader.status();
    if (!reader.ok()) return runs;
    const absl::Status status =
        (*reader)->Read(selection, [&](const RowRun& run) -> absl::StatusOr<bool> {
          runs.push_back(absl::StrCat(run.segment.environment, ".", run.segment.episode, " ",
                                      run.rows.count, " from ", run.first_row, " @", run.address,
                                      run.rows.final_observation.empty() ? "" : " final"));
          return true;
        });
    EXPECT_TRUE(status.ok()) << status;
    return runs;
  }

  FakeClock clock_;
  Shard shard_{42, &clock_, std::make_unique<MemoryStore>()};
  Service service_{&shard_};
  std::unique_ptr<rpc::Server> server_;
};

TEST_F(ReadRowsTest, AShardTellsWhatItIsToWhoeverAsks) {
  EXPECT_TRUE(absl::IsUnavailable(Connect().status()));
  Configure();
  Append(0, 0, 0, RowBuilder(kSpec).AddMany(0, 5));
  const auto reader = Connect();
  ASSERT_TRUE(reader.ok()) << reader.status();
  const proto::ShardDescription& shard = (*reader)->description();
  EXPECT_EQ(shard.run_id(), "run-a");
  EXPECT_EQ(shard.task(), "pendulum-swingup");
  EXPECT_EQ(shard.action_repeat(), 4u);
  EXPECT_EQ(shard.shard_count(), 2u);
  EXPECT_EQ(shard.horizon(), 3u);
  EXPECT_EQ((*reader)->spec(), kSpec);
  EXPECT_EQ(shard.info().shard_index(), 1u);
  EXPECT_EQ(shard.info().accepted_rows(), 5u);
  EXPECT_EQ(shard.oldest_address(), 0u);
  EXPECT_EQ(shard.next_address(), 5u);
}

TEST_F(ReadRowsTest, RowsComeInRunsOfTheirSegments) {
  Configure();
  EXPECT_TRUE(Runs({}).empty());
  Append(0, 0, 0, RowBuilder(kSpec).AddMany(0, 3));
  Append(1, 0, 0, RowBuilder(kSpec).AddMany(100, 2));
  Append(0, 0, 3, RowBuilder(kSpec).AddMany(3, 2));
  Append(0, 0, 5, RowBuilder(kSpec).AddMany(5, 1).Final(50));
  Append(0, 1, 0, RowBuilder(kSpec).AddMany(200, 2));
  EXPECT_THAT(Runs({}), ElementsAre("0.0 3 from 0 @0", "1.0 2 from 0 @3", "0.0 3 from 3 @5 final",
                                    "0.1 2 from 0 @9"));
  EXPECT_THAT(Runs({.from = 1, .to = 9}),
              ElementsAre("0.0 2 from 1 @1", "1.0 2 from 0 @3", "0.0 3 from 3 @5 final"));
  // The last run is cut off where the selection ends, and so is its final observation.
  EXPECT_THAT(Runs({.from = 5, .to = 8}), ElementsAre("0.0 3 from 3 @5"));
  EXPECT_THAT(Runs({.from = 5, .to = 7}), ElementsAre("0.0 2 from 3 @5"));
  EXPECT_THAT(Runs({.to = 1, .all_columns = false}), ElementsAre("0.0 1 from 0 @0"));
  EXPECT_THAT(Runs({.environment = 1}), ElementsAre("1.0 2 from 0 @3"));
  EXPECT_THAT(Runs({.environment = 0, .episode = 1}), ElementsAre("0.1 2 from 0 @9"));
  EXPECT_THAT(Runs({.actor_index = 3}), ElementsAre());
}

TEST_F(ReadRowsTest, EvictedRowsAreLeftOut) {
  Configure(/*capacity_rows=*/8);
  Append(0, 0, 0, RowBuilder(kSpec).AddMany(0, 10));
  EXPECT_THAT(Runs({}), ElementsAre("0.0 8 from 2 @2"));
  EXPECT_EQ((*Connect())->description().oldest_address(), 2u);
}

TEST_F(ReadRowsTest, NumbersAreThoseThatWereAppended) {
  Configure();
  const RowBuilder rows = std::move(RowBuilder(kSpec).AddMany(10, 3).Add(13, false).Final(99));
  Append(0, 0, 0, rows);
  const auto reader = Connect();
  ASSERT_TRUE(reader.ok());
  int runs = 0;
  ASSERT_TRUE((*reader)
                  ->Read({},
                         [&](const RowRun& run) -> absl::StatusOr<bool> {
                           ++runs;
                           for (size_t c = 0; c < kRowColumns; ++c) {
                             const auto have = run.rows.columns[c], want = rows.View().columns[c];
                             EXPECT_TRUE(std::equal(have.begin(), have.end(), want.begin(),
                                                    want.end()))
                                 << kColumns[c].name;
                           }
                           EXPECT_EQ(run.rows.final_observation[1], RowBuilder::Observation(99, 1));
                           return true;
                         })
                  .ok());
  EXPECT_EQ(runs, 1);
  ASSERT_TRUE((*reader)
                  ->Read({.all_columns = false},
                         [&](const RowRun& run) -> absl::StatusOr<bool> {
                           EXPECT_TRUE(run.rows.Get<float>("observations").empty());
                           EXPECT_EQ(run.rows.Get<float>("rewards")[3], RowBuilder::Reward(13));
                           EXPECT_THAT(run.rows.Get<uint8_t>("has_plan"), ElementsAre(1, 1, 1, 0));
                           return false;
                         })
                  .ok());
}

TEST_F(ReadRowsTest, ManyRowsComeInSeveralAnswers) {
  Configure(/*capacity_rows=*/200000);
  constexpr uint32_t kRows = 100000;
  for (uint32_t row = 0; row < kRows; row += 1000) {
    Append(0, 0, row, RowBuilder(kSpec).AddMany(row, 1000));
  }
  const auto reader = Connect();
  ASSERT_TRUE(reader.ok());
  uint64_t rows = 0;
  int runs = 0;
  ASSERT_TRUE((*reader)
                  ->Read({},
                         [&](const RowRun& run) -> absl::StatusOr<bool> {
                           EXPECT_EQ(run.first_row, rows);
                           rows += run.rows.count;
                           ++runs;
                           return true;
                         })
                  .ok());
  EXPECT_EQ(rows, kRows);
  EXPECT_GT(runs, 1);
}

TEST_F(ReadRowsTest, WhatIsAskedForIsChecked) {
  Configure();
  const auto stub = proto::ReplayService::NewStub(server_->InProcessChannel());
  proto::ReadRowsRequest request;
  *request.mutable_header() = rpc::MakeHeader("run-a");
  const auto ask = [&] {
    return rpc::CallUnary(*stub, &proto::ReplayService::Stub::ReadRows, request, absl::Seconds(20))
        .status();
  };
  EXPECT_TRUE(absl::IsInvalidArgument(ask()));
  request.set_max_rows(65537);
  EXPECT_THAT(ask().message(), HasSubstr("max_rows is 65537, allowed are 1 to 65536"));
  request.set_max_rows(10);
  EXPECT_TRUE(ask().ok());
  *request.mutable_header() = rpc::MakeHeader("run-b");
  EXPECT_TRUE(absl::IsFailedPrecondition(ask()));
}

}  // namespace
}  // namespace pompc::replay
