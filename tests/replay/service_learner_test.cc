// What a shard takes from the learner that holds it, and from no other.
#include <utility>

#include "gmock/gmock.h"
#include "tests/replay/service_fixture.h"

namespace pompc::replay {
namespace {

using ::testing::HasSubstr;

// Another learner of the run, such as one of a copied run directory, has no business with the rows.
TEST_F(ServiceTest, OnlyTheLearnerThatHoldsTheShardChangesWhatItHolds) {
  proto::ConfigureRequest configure = ConfigureMessage();
  configure.mutable_learner_start()->set_incarnation(1);
  configure.mutable_learner_start()->set_token(7);
  ASSERT_TRUE(Configure(configure).ok());
  const auto code_of = [&](auto method, auto request, uint64_t token) {
    request.mutable_learner_start()->set_incarnation(1);
    request.mutable_learner_start()->set_token(token);
    return rpc::CallUnary(*stub_, method, request, kTimeout).status().code();
  };
  for (const auto& [token, code] :
       {std::pair{7, absl::StatusCode::kOk}, std::pair{8, absl::StatusCode::kAborted}}) {
    EXPECT_EQ(code_of(&Stub::UpdatePlans, New<proto::UpdatePlansRequest>(), token), code);
    EXPECT_EQ(code_of(&Stub::BarWindows, New<proto::BarWindowsRequest>(), token), code);
    EXPECT_EQ(code_of(&Stub::Grant, New<proto::GrantRequest>(), token), code);
  }
  // This table has no priorities, which is found out behind the same door.
  const auto priorities = New<proto::UpdatePrioritiesRequest>();
  EXPECT_NE(code_of(&Stub::UpdatePriorities, priorities, 7), absl::StatusCode::kAborted);
  EXPECT_EQ(code_of(&Stub::UpdatePriorities, priorities, 8), absl::StatusCode::kAborted);
}

// Shards are replaced before the learner when a fleet is upgraded.
TEST_F(ServiceTest, ALearnerThatAnnouncesNoLeasesNeedNotSayWhichStartItIs) {
  proto::ConfigureRequest configure = ConfigureMessage();
  configure.mutable_learner_start()->set_incarnation(1);
  configure.mutable_learner_start()->set_token(7);
  ASSERT_TRUE(Configure(configure).ok());
  const auto update = [&] {
    return rpc::CallUnary(*stub_, &Stub::UpdatePlans, New<proto::UpdatePlansRequest>(), kTimeout)
        .status()
        .code();
  };
  EXPECT_EQ(update(), absl::StatusCode::kOk);
  auto grant = New<proto::GrantRequest>();
  *grant.mutable_learner_start() = configure.learner_start();
  grant.set_newest_lease(0);
  ASSERT_TRUE(rpc::CallUnary(*stub_, &Stub::Grant, grant, kTimeout).ok());
  EXPECT_EQ(update(), absl::StatusCode::kAborted);
}

TEST_F(ServiceTest, AGrantThatContradictsItselfIsRefused) {
  Open();
  auto grant = New<proto::GrantRequest>();
  grant.set_max_accepted_rows(5);
  grant.mutable_newest_version()->set_incarnation(1);
  grant.mutable_newest_version()->set_number(1);
  const auto refused = rpc::CallUnary(*stub_, &Stub::Grant, grant, kTimeout);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.status().message(), HasSubstr("the seed phase goes on"));
  EXPECT_EQ(Info()->max_accepted_rows(), 1000000);
  grant.set_seed_phase_over(true);
  EXPECT_TRUE(rpc::CallUnary(*stub_, &Stub::Grant, grant, kTimeout).ok());
}

}  // namespace
}  // namespace pompc::replay
