#include "learner/ranks/rank_client.h"

#include <memory>
#include <optional>
#include <string>

#include "common/base/threads.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "learner/ranks/rank_service.h"
#include "tests/support/await.h"

namespace pompc::learner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Rank 0 of two, and the options of the other.
class RankClientTest : public ::testing::Test {
 protected:
  ~RankClientTest() override {
    group_->Close(absl::OkStatus());
    server_->Shutdown(absl::Seconds(5));
  }

  RankClientOptions Options() {
    RankClientOptions options;
    options.leader = server_->InProcessEndpoint();
    options.name = "host:1";
    return options;
  }
  void Tell(proto::RankOrder::Kind kind) {
    proto::RankOrder order;
    order.set_kind(kind);
    group_->Tell(order);
  }

  const std::shared_ptr<RankGroup> group_ = std::make_shared<RankGroup>(2);
  RankService service_{group_, std::make_shared<MemoryRendezvous>(), {.run_id = "run"}};
  const std::unique_ptr<rpc::Server> server_ =
      *rpc::Server::Start(rpc::ServerOptions(), {&service_});
};

TEST_F(RankClientTest, WelcomeThenOrdersThenTheEnd) {
  RankClient client(Options());
  const auto welcome = client.Join();
  ASSERT_TRUE(welcome.ok()) << welcome.status();
  EXPECT_EQ(welcome->run_id(), "run");
  ASSERT_TRUE(group_->AwaitAll(absl::ZeroDuration()));
  proto::RankOrder draw;
  draw.set_kind(proto::RankOrder::DRAW);
  draw.add_masses(5);
  draw.add_masses(7);
  group_->Tell(draw);
  Tell(proto::RankOrder::KEEP);
  group_->Close(absl::OkStatus());
  auto order = client.Next();
  ASSERT_TRUE(order.ok() && order->has_value());
  EXPECT_EQ((*order)->kind(), proto::RankOrder::DRAW);
  EXPECT_THAT((*order)->masses(), ElementsAre(5u, 7u));
  order = client.Next();
  ASSERT_TRUE(order.ok() && order->has_value());
  EXPECT_EQ((*order)->kind(), proto::RankOrder::KEEP);
  for (int i = 0; i < 2; ++i) {
    order = client.Next();
    ASSERT_TRUE(order.ok()) << order.status();
    EXPECT_FALSE(order->has_value()) << "the run has ended in order";
  }
}

TEST_F(RankClientTest, ErrorOfRankZeroEndsTheOrders) {
  RankClient client(Options());
  ASSERT_TRUE(client.Join().ok());
  group_->Close(absl::InternalError("out of memory"));
  EXPECT_EQ(client.Next().status(), absl::InternalError("out of memory"));
}

TEST_F(RankClientTest, RankThatIsPresentIsRefusedUntilItHasLeft) {
  auto first = std::make_unique<RankClient>(Options());
  ASSERT_TRUE(first->Join().ok());
  RankClient second(Options());
  const absl::Status refused = second.Join().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("already present"));
  first.reset();
  ASSERT_TRUE(Await([&] { return group_->present() == 1; }));
  EXPECT_TRUE(second.Join().ok());
}

TEST_F(RankClientTest, JoiningAgainLeavesFirst) {
  RankClient client(Options());
  ASSERT_TRUE(client.Join().ok());
  // Rank 0 may hear of the new stream before it hears that the old one has ended.
  absl::StatusOr<proto::RankWelcome> again;
  ASSERT_TRUE(Await([&] { return (again = client.Join()).ok(); })) << again.status();
  Tell(proto::RankOrder::KEEP);
  const auto order = client.Next();
  ASSERT_TRUE(order.ok() && order->has_value()) << order.status();
  EXPECT_EQ((*order)->kind(), proto::RankOrder::KEEP);
}

TEST_F(RankClientTest, OtherNumberOfShardsIsRefused) {
  RankClientOptions options = Options();
  options.num_shards = 3;
  RankClient client(options);
  EXPECT_EQ(client.Join().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RankClientTest, CancelEndsAWaitForOrdersAndAllThatFollows) {
  RankClient client(Options());
  ASSERT_TRUE(client.Join().ok());
  Thread canceller("cancel", [&] { client.Cancel(); });
  EXPECT_EQ(client.Next().status().code(), absl::StatusCode::kCancelled);
  canceller.Join();
  EXPECT_EQ(client.Join().status().code(), absl::StatusCode::kCancelled);
}

TEST_F(RankClientTest, CancelOrdersAndLeavingMayMeet) {
  for (int round = 0; round < 200; ++round) {
    auto client = std::make_unique<RankClient>(Options());
    Thread canceller("cancel", [&] {
      if (round % 2 == 0) client->Cancel();
    });
    Thread teller("tell", [&] {
      for (int i = 0; i < round % 5; ++i) Tell(proto::RankOrder::KEEP);
    });
    const auto welcome = client->Join();
    // Unavailable: a call of the round before, which was cancelled, may reach rank 0 only now.
    EXPECT_TRUE(welcome.ok() || absl::IsCancelled(welcome.status()) ||
                absl::IsUnavailable(welcome.status()))
        << welcome.status();
    if (welcome.ok() && round % 2 == 0) {
      while (client->Next().ok()) {
      }
    }
    canceller.Join();
    client.reset();
    teller.Join();
    ASSERT_TRUE(Await([&] { return group_->present() == 1; }));
  }
}

}  // namespace
}  // namespace pompc::learner
