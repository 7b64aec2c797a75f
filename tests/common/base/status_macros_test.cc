#include "common/base/status_macros.h"

#include <memory>

#include "gtest/gtest.h"

namespace pompc {
namespace {

absl::StatusOr<std::unique_ptr<int>> Make(int value) {
  if (value < 0) return absl::OutOfRangeError("negative");
  return std::make_unique<int>(value);
}

absl::StatusOr<int> Sum(int a, int b) {
  POMPC_ASSIGN_OR_RETURN(const std::unique_ptr<int> first, Make(a));
  POMPC_ASSIGN_OR_RETURN(const std::unique_ptr<int> second, Make(b));
  return *first + *second;
}

absl::Status Check(int a, int b) {
  POMPC_RETURN_IF_ERROR(Sum(a, b).status());
  return absl::AlreadyExistsError("came to the end");
}

TEST(StatusMacros, PassValuesOnAndErrorsUp) {
  EXPECT_EQ(Sum(1, 2).value(), 3);
  EXPECT_EQ(Sum(1, -2).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Check(1, -2).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Check(1, 2).code(), absl::StatusCode::kAlreadyExists);
}

TEST(Annotate, PutsTheContextFirst) {
  EXPECT_EQ(Annotate(absl::NotFoundError("gone"), "shard 1"), absl::NotFoundError("shard 1: gone"));
  EXPECT_TRUE(Annotate(absl::OkStatus(), "shard 1").ok());
}

}  // namespace
}  // namespace pompc
