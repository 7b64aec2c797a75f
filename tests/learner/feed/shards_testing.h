#ifndef POMPC_TESTS_LEARNER_FEED_SHARDS_TESTING_H_
#define POMPC_TESTS_LEARNER_FEED_SHARDS_TESTING_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/threads.h"
#include "common/rpc/server.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "learner/feed/shard_clients.h"
#include "replay/service.h"
#include "run/control/sampling_control.h"
#include "tests/learner/learner_fixture.h"
#include "tests/replay/row_builder.h"

namespace pompc::learner {

// Shards behind real servers, in process, which the test fills itself.
class FilledShards {
 public:
  FilledShards(const proto::RunConfig& config, size_t shards) : config_(config) {
    // A segment comes in one chunk.
    config_.mutable_actor()->set_chunk_rows(1024);
    std::vector<rpc::Endpoint> endpoints;
    for (size_t i = 0; i < shards; ++i) {
      nodes_.push_back(std::make_unique<Node>(1000 + i));
      auto server = rpc::Server::Start(rpc::ServerOptions(), {&nodes_[i]->service});
      EXPECT_TRUE(server.ok()) << server.status();
      nodes_[i]->server = *std::move(server);
      endpoints.emplace_back(nodes_[i]->server->InProcessChannel());
    }
    clients_ = std::make_unique<ShardClients>("run", endpoints, config_, absl::Seconds(20));
    for (size_t i = 0; i < shards; ++i) {
      EXPECT_TRUE((*clients_)[i].Configure().ok());
      EXPECT_TRUE((*clients_)[i].Grant({.max_accepted_rows = 1000000}).ok());
    }
  }
  ~FilledShards() {
    clients_.reset();
    for (const auto& node : nodes_) node->shard.Close();
  }

  // Another segment of so many windows.
  void Fill(size_t shard, uint32_t windows) {
    const replay::RowSpec spec = {config_.env().spec().observation_size(),
                                  config_.env().spec().action_size()};
    const uint32_t rows = windows + config_.planner().horizon();
    const auto outcome = nodes_[shard]->shard.Append(
        {.incarnation = 1, .episode = ++segments_}, 0,
        replay::RowBuilder(spec).AddMany(0, rows, false).View(), nullptr);
    ASSERT_EQ(outcome.kind, replay::AppendOutcome::Kind::kAcked) << outcome.status;
  }

  ShardClients& clients() { return *clients_; }
  std::shared_ptr<grpc::Channel> channel(size_t shard) const {
    return nodes_[shard]->server->InProcessChannel();
  }
  uint64_t incarnation(size_t shard) const { return nodes_[shard]->shard.incarnation(); }
  proto::ShardInfo Info(size_t shard) {
    const auto info = (*clients_)[shard].Info();
    EXPECT_TRUE(info.ok()) << info.status();
    return *info;
  }

 private:
  struct Node {
    explicit Node(uint64_t incarnation)
        : shard(incarnation, Clock::Real(), std::make_unique<replay::MemoryStore>()) {}
    replay::Shard shard;
    replay::Service service{&shard};
    std::unique_ptr<rpc::Server> server;
  };

  proto::RunConfig config_;
  uint64_t segments_ = 0;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::unique_ptr<ShardClients> clients_;
};

// Batches may be drawn; the masses are those that the shards tell.
class TellingControl : public run::SamplingControl {
 public:
  // The masses of table number `table`.
  TellingControl(FilledShards* shards, int table) : shards_(shards), table_(table) {}

  bool AwaitSampling(absl::Duration /*timeout*/) override { return true; }
  bool Done() const override { return false; }
  std::vector<uint64_t> Masses() const override {
    std::vector<uint64_t> masses;
    for (size_t i = 0; i < shards_->clients().size(); ++i) {
      masses.push_back(shards_->Info(i).tables(table_).mass());
    }
    return masses;
  }

 private:
  FilledShards* const shards_;
  const int table_;
};

}  // namespace pompc::learner

#endif  // POMPC_TESTS_LEARNER_FEED_SHARDS_TESTING_H_
