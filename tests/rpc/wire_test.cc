#include "common/rpc/wire.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Wire, OwnHeaderIsAccepted) {
  EXPECT_TRUE(CheckHeader(MakeHeader("run-1"), "run-1").ok());
  EXPECT_TRUE(CheckWireVersion(MakeHeader("")).ok());
}

TEST(Wire, OtherRunIsRefusedNamingBoth) {
  const absl::Status status = CheckHeader(MakeHeader("run-2"), "run-1");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("run-1"), HasSubstr("run-2")));
}

TEST(Wire, OtherVersionIsRefusedNamingBoth) {
  proto::Header header = MakeHeader("run-1");
  header.set_wire_version(kWireVersion + 41);
  for (const absl::Status& status : {CheckHeader(header, "run-1"), CheckWireVersion(header)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(std::to_string(kWireVersion + 41)),
                                                     HasSubstr(std::to_string(kWireVersion))));
  }
}

TEST(Wire, AnOpenHeaderMayLackTheRunButNameNoOther) {
  EXPECT_TRUE(CheckOpenHeader(MakeHeader(""), "run-1").ok());
  EXPECT_TRUE(CheckOpenHeader(MakeHeader("run-1"), "run-1").ok());
  EXPECT_EQ(CheckOpenHeader(MakeHeader("run-2"), "run-1").code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(CheckOpenHeader({}, "run-1").code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Wire, MissingHeaderIsRefused) {
  EXPECT_EQ(CheckHeader({}, "").code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace pompc::rpc
