#include "learner/feed/shard_manager.h"

#include <string>

#include "gtest/gtest.h"
#include "replay/service.h"
#include "tests/learner/learner_fixture.h"

namespace pompc::learner {
namespace {

using ShardManagerTest = LearnerFixture;

// The thread that grants and whoever asks for a refresh reach a shard in turns: what one of them
// finds must be known before the other one tries.
TEST_F(ShardManagerTest, ARefreshThatFailsTellsThatTheShardIsLost) {
  StartShards(1);
  const std::string address = shards_[0]->server().address();
  run::RunControlOptions control_options;
  control_options.shards = {address};
  control_options.ratio = {.seed_rows = 100, .utd = 1, .slack_rows = 10, .min_rows = 10};
  control_options.evaluation.every_rows = 1000;
  control_options.evaluation.episodes = 1;
  run::RunControl control(control_options, Clock::Real());
  ShardManagerOptions options;
  options.run_id = "run";
  options.shards = {rpc::Endpoint(address)};
  options.config = config_;
  options.grant_interval = absl::Hours(1);
  options.timeout = absl::Seconds(5);
  options.backoff = {.initial = absl::Hours(1), .max = absl::Hours(1)};
  ShardManager manager(options, &control);
  ASSERT_TRUE(manager.Refresh().ok());
  EXPECT_TRUE(control.Status().shards(0).reachable());

  shards_[0].reset();
  EXPECT_FALSE(manager.Refresh().ok());
  EXPECT_FALSE(control.Status().shards(0).reachable());

  StartShard(0, address);
  AwaitThat([&] { return manager.Refresh().ok(); });
  EXPECT_TRUE(control.Status().shards(0).reachable());
}

// Holds rows that have not been loaded yet.
class UnloadedStore : public replay::MemoryStore {
 public:
  bool persistent() const override { return true; }
};

TEST_F(ShardManagerTest, AShardThatLoadsItsRowsIsNotTakenForOneThatIsGone) {
  StartShards(1);
  replay::Shard shard(1, Clock::Real(), std::make_unique<UnloadedStore>());
  replay::Service service(&shard);
  auto server = rpc::Server::Start({}, {&service});
  ASSERT_TRUE(server.ok());
  run::RunControlOptions control_options = MakeRunControlOptions(LearnerOptions(), 2);
  control_options.shards = {"a:1", "b:2"};
  control_options.hear_from_shards = absl::ZeroDuration();
  run::RunControl control(control_options, Clock::Real());
  ShardManagerOptions options;
  options.run_id = "run";
  options.shards = {rpc::Endpoint(shards_[0]->server().InProcessChannel()),
                    rpc::Endpoint((*server)->InProcessChannel())};
  options.config = config_;
  options.grant_interval = absl::Hours(1);
  options.timeout = absl::Seconds(30);
  options.backoff = {.initial = absl::Hours(1), .max = absl::Hours(1)};
  ShardManager manager(options, &control);
  EXPECT_FALSE(manager.Refresh().ok());
  EXPECT_EQ(control.Status().shards(1).problem(), "loading: 0 % of the rows");
  const run::ShardGrant grant = control.NextGrant(0);
  EXPECT_EQ(grant.max_accepted_rows, 0u);
  EXPECT_NE(grant.reason.find("loading: 0 % of the rows"), std::string::npos) << grant.reason;
  manager.Close();
  (*server)->Shutdown(absl::ZeroDuration());
}

}  // namespace
}  // namespace pompc::learner
