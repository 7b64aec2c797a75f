// What has planners serve a run for as long as it lasts.
#include "planner/client/run_announcer.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/planner/planner_fixture.h"
#include "tests/support/await.h"

namespace pompc::planner {
namespace {

using ::testing::HasSubstr;

// A planner that accepts runs, at a port of loopback, and a learner of another run.
class RunAnnouncerTest : public PlannerTest {
 protected:
  RunAnnouncerTest() {
    Restart("127.0.0.1:0");
    learner_.Publish(1);
  }

  void Restart(const std::string& listen) {
    AppOptions options;
    options.accept_runs = true;
    StartApp(options, listen, engine_);
    address_ = app_->server().address();
  }
  std::unique_ptr<RunAnnouncer> Announce(std::vector<rpc::Endpoint> planners) {
    RunAnnouncerOptions options = {
        .run_id = "a", .learner = learner_.endpoint().address(), .planners = std::move(planners)};
    options.renew = absl::Milliseconds(10);
    return std::make_unique<RunAnnouncer>(options);
  }
  bool Serves() {
    proto::PlanRequest request = FakeRequest();
    *request.mutable_header() = rpc::MakeHeader("a");
    return Plan(request).ok();
  }

  std::string address_;
  OtherLearner learner_{"a", "127.0.0.1:0"};
};

TEST_F(RunAnnouncerTest, TheRunIsServedWhileItLives) {
  auto announcer = Announce({rpc::Endpoint(address_)});
  ASSERT_TRUE(Await([&] { return Serves(); }));
  // A planner that restarts knows no run.
  Restart(address_);
  ASSERT_TRUE(Await([&] { return Serves(); }));
  announcer = nullptr;
  EXPECT_FALSE(Serves());
}

TEST_F(RunAnnouncerTest, APlannerThatDoesNotAnswerHoldsUpNoOther) {
  auto announcer = Announce({rpc::Endpoint("127.0.0.1:1"), rpc::Endpoint(address_)});
  ASSERT_TRUE(Await([&] { return Serves(); }));
  announcer = nullptr;
  EXPECT_FALSE(Serves());
}

TEST_F(RunAnnouncerTest, APlannerSaysWhatItComputesWith) {
  const auto info = AwaitPlannerInfo(rpc::Endpoint(address_), kLong, Clock::Real());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->arithmetic(), "fake");
  const absl::Status absent =
      AwaitPlannerInfo(rpc::Endpoint("127.0.0.1:1"), absl::Milliseconds(300), Clock::Real())
          .status();
  EXPECT_EQ(absent.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(absent.message()), HasSubstr("planner 127.0.0.1:1: "));
}

}  // namespace
}  // namespace pompc::planner
