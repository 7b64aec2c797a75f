#include "common/base/check.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

TEST(CheckTest, WhatHoldsCostsNothingAndIsEvaluatedOnce) {
  int evaluated = 0;
  POMPC_CHECK(++evaluated == 1);
  POMPC_CHECK_EQ(++evaluated, 2);
  POMPC_CHECK_OK((++evaluated, absl::OkStatus()));
  EXPECT_EQ(evaluated, 3);
  // The words of a check that holds are never made.
  POMPC_CHECK(true, (++evaluated, "unused"));
  POMPC_CHECK_LE(1, 1, (++evaluated, "unused"));
  EXPECT_EQ(evaluated, 3);
}

// The sanitizers see it as well.
TEST(CheckTest, WhatIsComparedLivesAsLongAsTheComparison) {
  const std::string name = "grants";
  POMPC_CHECK_EQ(std::min(name + "!", name + "?"), "grants!");
  POMPC_CHECK_LE(std::max(name.size() + 1, size_t{2}), 7u);
}

TEST(CheckDeathTest, FailuresTellWhereWhatAndTheValues) {
  const std::string name = "grants";
  EXPECT_DEATH(POMPC_CHECK(name.empty(), name + " are over"),
               "check_test.cc:[0-9]+: .*name.empty\\(\\): grants are over");
  EXPECT_DEATH(POMPC_CHECK_LT(name.size(), 2u), "name.size\\(\\) < 2u \\(6 against 2\\)");
  EXPECT_DEATH(POMPC_CHECK_EQ(name, "rows"), "\"grants\" against \"rows\"");
  EXPECT_DEATH(POMPC_CHECK_GE(absl::Seconds(1), absl::Seconds(2), "too early"),
               "1s against 2s\\): too early");
  EXPECT_DEATH(POMPC_CHECK_NE(true, true), "true against true");
  EXPECT_DEATH(POMPC_CHECK_OK(absl::NotFoundError("no such run")), "NOT_FOUND: no such run");
}

TEST(CheckDeathTest, DebugChecksAreChecksWithoutNdebugAlone) {
#ifdef NDEBUG
  int evaluated = 0;
  POMPC_DCHECK(++evaluated == 5);
  POMPC_DCHECK_EQ(++evaluated, 5);
  EXPECT_EQ(evaluated, 0);
#else
  EXPECT_DEATH(POMPC_DCHECK(false), "false");
  EXPECT_DEATH(POMPC_DCHECK_GT(1, 2), "1 against 2");
#endif
}

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
