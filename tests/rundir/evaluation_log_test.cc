#include "rundir/evaluation_log.h"

#include <cmath>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/rundir/file_size_limit.h"
#include "tests/rundir/scratch_folder.h"

namespace pompc::rundir {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

proto::EvaluationResult Result(uint64_t id, double mean) {
  proto::EvaluationResult result;
  result.set_evaluation_id(id);
  result.mutable_version()->set_incarnation(2);
  result.mutable_version()->set_number(17);
  result.set_rows(5000);
  result.set_updates(4000);
  result.set_episodes(3);
  result.set_return_mean(mean);
  result.set_return_ci95(1.0 / 3);
  result.set_return_min(mean - 1);
  result.set_return_max(mean + 1);
  result.set_elapsed_seconds(12.25);
  return result;
}

TEST(EvaluationLogTest, ReadsBackExactlyWhatWasWritten) {
  ScratchFolder folder;
  const std::string path = folder.File("evaluations.csv");
  EXPECT_TRUE(EvaluationLog::Read(path)->empty());
  {
    auto log = EvaluationLog::Open(path);
    ASSERT_TRUE(log.ok()) << log.status();
    ASSERT_TRUE((*log)->Append(Result(1, 0.1)).ok());
    proto::EvaluationResult single = Result(2, 700);
    single.set_return_ci95(std::numeric_limits<double>::quiet_NaN());
    ASSERT_TRUE((*log)->Append(single).ok());
  }
  EXPECT_THAT(folder.Read("evaluations.csv"),
              StartsWith("evaluation_id,version,rows,updates,elapsed_seconds,episodes,return_mean,"
                         "return_ci95,return_min,return_max\n1,2.17,5000,4000,12.25,3,0.1,"));
  const auto results = EvaluationLog::Read(path);
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_EQ(results->size(), 2u);
  const proto::EvaluationResult& first = (*results)[0];
  EXPECT_EQ(first.version().incarnation(), 2u);
  EXPECT_EQ(first.version().number(), 17u);
  EXPECT_EQ(first.rows(), 5000u);
  EXPECT_EQ(first.updates(), 4000u);
  EXPECT_EQ(first.episodes(), 3u);
  EXPECT_EQ(first.return_mean(), 0.1);
  EXPECT_EQ(first.return_ci95(), 1.0 / 3);
  EXPECT_EQ(first.return_min(), -0.9);
  EXPECT_EQ(first.return_max(), 1.1);
  EXPECT_EQ(first.elapsed_seconds(), 12.25);
  EXPECT_TRUE(std::isnan((*results)[1].return_ci95()));
}

TEST(EvaluationLogTest, SaysHowManyResultsWereLost) {
  ScratchFolder folder;
  auto log = EvaluationLog::Open(folder.File("evaluations.csv"));
  ASSERT_TRUE(log.ok()) << log.status();
  {
    const FileSizeLimit limit(folder.Read("evaluations.csv").size());
    for (uint64_t i = 0; i < CsvFile::kMaxWaiting + 3; ++i) {
      EXPECT_FALSE((*log)->Append(Result(i, 1)).ok());
    }
  }
  const absl::Status lost = (*log)->Flush();
  EXPECT_EQ(lost.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(lost.message()), HasSubstr("evaluations.csv lacks 3 results"));
  EXPECT_EQ(EvaluationLog::Read(folder.File("evaluations.csv"))->size(), CsvFile::kMaxWaiting);
}

TEST(EvaluationLogTest, NamesALineThatIsNoEvaluation) {
  ScratchFolder folder;
  const std::string path = folder.File("evaluations.csv");
  ASSERT_TRUE((*EvaluationLog::Open(path))->Append(Result(1, 1)).ok());
  const std::string first = folder.Read("evaluations.csv");
  for (const char* row : {"2,1.x,1,1,1,1,1,1,1,1\n", "2,1.2,1,1,1,1,nan,1,1,1\n"}) {
    folder.Write("evaluations.csv", first + row);
    const auto results = EvaluationLog::Read(path);
    EXPECT_EQ(results.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(results.status().message()), HasSubstr("evaluations.csv:3"));
  }
}

}  // namespace
}  // namespace pompc::rundir
