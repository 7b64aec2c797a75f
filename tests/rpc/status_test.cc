#include <string>

#include "common/rpc/call.h"
#include "gtest/gtest.h"

namespace pompc::rpc {
namespace {

TEST(Status, EveryCodeSurvivesTheWayThereAndBack) {
  for (int code = 0; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), code == 0 ? "" : "why");
    EXPECT_EQ(FromGrpc(ToGrpc(status)), status) << code;
  }
}

TEST(Status, CodesKeepTheirNames) {
  EXPECT_EQ(ToGrpc(absl::FailedPreconditionError("")).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(ToGrpc(absl::UnavailableError("")).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "")).code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST(Status, WhatIsTooLargeIsNotWhatIsBusy) {
  const grpc::StatusCode code = grpc::StatusCode::RESOURCE_EXHAUSTED;
  for (const char* words : {"Received message larger than max (70 vs. 60)",
                            "CLIENT: Sent message larger than max (70 vs. 60)"}) {
    const absl::Status status = FromGrpc(grpc::Status(code, words));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(words), std::string::npos) << status;
  }
  EXPECT_EQ(FromGrpc(grpc::Status(code, "the queue is full")).code(),
            absl::StatusCode::kResourceExhausted);
}

// gRPC gives no more than the code, whatever kind of call it was.
TEST(Status, AServerWithoutTheMethodIsNamedAsTheCause) {
  const absl::Status status = FromGrpc(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, ""));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(status.message().find("is it another role of pompc"), std::string::npos) << status;
}

TEST(Status, LongMessagesAreCut) {
  const grpc::Status status = ToGrpc(absl::InternalError(std::string(100000, 'x')));
  EXPECT_EQ(status.error_message().size(), kMaxStatusMessageBytes);
}

}  // namespace
}  // namespace pompc::rpc
