// What many connections cost one planner.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "gtest/gtest.h"
#include "tests/planner/planner_fixture.h"

namespace pompc::planner {
namespace {

int CountThreads() {
  int count = 0;
  for ([[maybe_unused]] const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    ++count;
  }
  return count;
}

// A channel with a connection of its own.
std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments args = rpc::MakeChannelArguments({});
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
}

// How the clients of one test get on. Thread-safe.
class Progress {
 public:
  explicit Progress(int plans) : plans_left_(plans) {}
  void Planned() {
    MutexLock lock(&mu_);
    if (plans_left_ % 64 == 0) most_threads_ = std::max(most_threads_, CountThreads());
    if (--plans_left_ == 0) done_.Set();
  }
  int AwaitMostThreads() {
    done_.Wait();
    MutexLock lock(&mu_);
    return most_threads_;
  }

 private:
  Event done_;
  Mutex mu_;
  int plans_left_ ABSL_GUARDED_BY(mu_);
  int most_threads_ ABSL_GUARDED_BY(mu_) = 0;
};

// Asks for its next plan as soon as it has one, on its own connection.
class BusyClient {
 public:
  BusyClient(const std::string& address, int plans, Progress* progress)
      : stub_(proto::PlannerService::NewStub(Connect(address))),
        plans_left_(plans),
        progress_(progress) {
    request_ = FakeRequest(0.5f);
    *request_.mutable_header() = rpc::MakeHeader("run");
  }

  void Ask() {
    context_ = std::make_unique<grpc::ClientContext>();
    context_->set_deadline(rpc::DeadlineAfter(kLong));
    context_->set_wait_for_ready(true);
    stub_->async()->Plan(context_.get(), &request_, &reply_, [this](const grpc::Status& status) {
      EXPECT_TRUE(status.ok()) << status.error_message();
      const bool last = --plans_left_ == 0;
      if (!last) Ask();
      progress_->Planned();
    });
  }

 private:
  const std::unique_ptr<proto::PlannerService::Stub> stub_;
  int plans_left_;
  Progress* const progress_;
  proto::PlanRequest request_;
  proto::PlanReply reply_;
  std::unique_ptr<grpc::ClientContext> context_;
};

PlanSpec LargeSpec() {
  PlanSpec spec = FakeSpec();
  spec.max_batch = 64;
  spec.max_queue = 1024;
  return spec;
}

class PlannerLoadTest : public PlannerTest {
 protected:
  PlannerLoadTest() : PlannerTest("127.0.0.1:0", LargeSpec()) {}
};

// Clients, learner and planner share this process, so its threads bound those of a planner alone.
TEST_F(PlannerLoadTest, BusyAndIdleConnectionsHoldFewThreads) {
  constexpr int kBusy = 64, kIdle = 300, kPlansEach = 20;
  Publish(1);
  std::vector<std::shared_ptr<grpc::Channel>> idle;
  for (int i = 0; i < kIdle; ++i) {
    idle.push_back(Connect(app_->server().address()));
    idle.back()->GetState(/*try_to_connect=*/true);
  }
  for (const auto& channel : idle) {
    ASSERT_TRUE(Await([&] { return channel->GetState(false) == GRPC_CHANNEL_READY; }));
  }
  Progress progress(kBusy * kPlansEach);
  std::vector<std::unique_ptr<BusyClient>> busy;
  for (int i = 0; i < kBusy; ++i) {
    busy.push_back(std::make_unique<BusyClient>(app_->server().address(), kPlansEach, &progress));
  }
  for (const auto& client : busy) client->Ask();
  EXPECT_LT(progress.AwaitMostThreads(), 40);
  EXPECT_EQ(Info().plans(), static_cast<uint64_t>(kBusy * kPlansEach));
  for (const auto& channel : idle) EXPECT_EQ(channel->GetState(false), GRPC_CHANNEL_READY);
}

}  // namespace
}  // namespace pompc::planner
