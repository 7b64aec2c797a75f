#include "common/rpc/call.h"
#include "common/rpc/wire.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/run.pb.h"

namespace pompc::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

proto::GetRunReply Reply() {
  proto::GetRunReply reply;
  reply.set_run_id("run-1");
  reply.mutable_status()->add_peers()->set_name("host:1");
  reply.mutable_status()->add_peers()->set_name("host-\xc3\xa4:2");
  reply.mutable_config()->mutable_env()->set_task("external");
  return reply;
}

TEST(MessageText, TextStaysAsItIs) {
  proto::GetRunReply reply = Reply();
  EXPECT_EQ(FieldThatIsNoText(reply), "");
  MakeText(&reply);
  EXPECT_EQ(reply.SerializeAsString(), Reply().SerializeAsString());
}

TEST(MessageText, EveryFieldThatIsNoTextIsFoundAndMended) {
  proto::GetRunReply reply = Reply();
  reply.mutable_status()->set_run_dir("/tmp/run-\xe4");
  EXPECT_EQ(FieldThatIsNoText(reply), "status.run_dir");
  reply.mutable_status()->mutable_peers(1)->set_name("\xff");
  reply.mutable_config()->mutable_env()->set_task("\xfe");
  MakeText(&reply);
  EXPECT_EQ(FieldThatIsNoText(reply), "");
  EXPECT_EQ(reply.status().run_dir(), "/tmp/run-\\xe4");
  EXPECT_EQ(reply.status().peers(0).name(), "host:1");
  EXPECT_EQ(reply.status().peers(1).name(), "\\xff");
  EXPECT_EQ(reply.config().env().task(), "\\xfe");
}

TEST(MessageText, AServerWithoutTheMethodIsNamedAsTheCause) {
  proto::RegisterRequest request;
  const absl::Status error =
      CallError(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, ""), request, "RegisterReply");
  EXPECT_EQ(error.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(error.message()),
              AllOf(HasSubstr("RegisterRequest"), HasSubstr("is it another role of pompc")));
}

TEST(MessageText, ErrorsThatHaveACauseKeepIt) {
  proto::RegisterRequest request;
  const absl::Status error = CallError(
      grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection refused"), request, "RegisterReply");
  EXPECT_EQ(error, absl::UnavailableError("connection refused"));
}

}  // namespace
}  // namespace pompc::rpc
