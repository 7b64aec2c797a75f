#include "learner/status/published_curves.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "common/config/task_specs.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::learner {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kHeader[] = "method,task,frames,return_mean,seeds\n";
constexpr char kTable[] =
    "A,walker-run,0,10,3\n"
    "A,walker-run,1000,110,2\n"
    "A,walker-run,3000,210.5,3\n"
    "B,fish-swim,0,1,\n"
    "B,fish-swim,1000,2,\n"
    "C d (1),walker-run,0,0,\n"
    "C d (1),walker-run,1000,500,5\n";

class PublishedCurvesTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<PublishedCurve>> Read(const std::string& rows,
                                                   const std::vector<std::string>& methods = {}) {
    const std::string folder = testing::TempDir() + "/published";
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/dmc.csv") << kHeader << rows;
    return ReadPublishedCurves(folder, "walker-run", methods);
  }
};

TEST_F(PublishedCurvesTest, HoldWhatTheFileSays) {
  const auto curves = Read(kTable);
  ASSERT_TRUE(curves.ok()) << curves.status();
  ASSERT_EQ(curves->size(), 2u);
  EXPECT_EQ((*curves)[0].method, "A");
  EXPECT_THAT((*curves)[0].frames, ElementsAre(0, 1000, 3000));
  EXPECT_THAT((*curves)[0].return_mean, ElementsAre(10, 110, 210.5));
  EXPECT_THAT((*curves)[0].seeds, ElementsAre(3, 2, 3));
  EXPECT_EQ((*curves)[1].method, "C d (1)");
  EXPECT_THAT((*curves)[1].seeds, ElementsAre(std::nullopt, 5));
}

TEST_F(PublishedCurvesTest, AMethodKeepsItsPlaceWhateverIsChosen) {
  const auto chosen = Read(kTable, {"C d (1)"});
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  ASSERT_EQ(chosen->size(), 1u);
  EXPECT_EQ(chosen->front().index, 2u);
}

TEST_F(PublishedCurvesTest, ErrorsNameWhatIsAllowed) {
  const absl::Status method = Read(kTable, {"A", "B"}).status();
  EXPECT_EQ(method.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(method.message()), AllOf(HasSubstr("\"B\""), HasSubstr("A, C d (1)")));
  const absl::Status task = Read("B,fish-swim,0,1,\nB,cup-catch,0,1,\n").status();
  EXPECT_EQ(task.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(task.message()),
              AllOf(HasSubstr("\"walker-run\""), HasSubstr("fish-swim, cup-catch")));
  EXPECT_EQ(ReadPublishedCurves("/nowhere", "walker-run").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(PublishedCurvesTest, RowsThatCannotBeDrawnAreNamed) {
  for (const char* row : {"A,walker-run,x,1,3\n", "A,walker-run,1,nan,3\n", "A,walker-run,-1,1,3\n",
                          "A,walker-run,1,1,0\n", "A,walker-run,1,1,x\n", "A,walker-run,0,1,3\n"}) {
    const absl::Status status = Read(std::string("A,walker-run,0,1,3\n") + row).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << row << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("dmc.csv:3:")) << row;
  }
  EXPECT_EQ(Read("A,walker-run,0\n").status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(PublishedCurvesTest, ReturnsAreInterpolatedWithinTheCurveAlone) {
  const std::vector<PublishedCurve> curves = *Read(kTable);
  const auto at = [&](size_t i, double frames) { return ReturnAt(curves[i], frames); };
  EXPECT_DOUBLE_EQ(at(0, 0)->return_mean, 10);
  EXPECT_DOUBLE_EQ(at(0, 250)->return_mean, 35);
  EXPECT_DOUBLE_EQ(at(0, 1000)->return_mean, 110);
  EXPECT_DOUBLE_EQ(at(0, 2000)->return_mean, 160.25);
  EXPECT_DOUBLE_EQ(at(0, 3000)->return_mean, 210.5);
  EXPECT_FALSE(at(0, 3001).has_value());
  EXPECT_FALSE(at(0, -1).has_value());
  EXPECT_EQ(at(0, 3000)->seeds, 3);
  EXPECT_EQ(at(0, 2000)->seeds, 2);
  EXPECT_EQ(at(1, 500)->seeds, std::nullopt);
}

TEST_F(PublishedCurvesTest, AreCutBetweenTheirPoints) {
  const std::vector<PublishedCurve> curves = *Read(kTable);
  EXPECT_THAT(UpTo(curves[0], 2000).frames, ElementsAre(0, 1000, 2000));
  EXPECT_THAT(UpTo(curves[0], 2000).return_mean, ElementsAre(10, 110, 160.25));
  EXPECT_THAT(UpTo(curves[0], 1000).frames, ElementsAre(0, 1000));
  EXPECT_THAT(UpTo(curves[0], INFINITY).frames, ElementsAre(0, 1000, 3000));
  EXPECT_THAT(UpTo(curves[0], -1).frames, IsEmpty());
}

TEST(PublishedFileTest, HasEveryMethodOnTasksOfPompc) {
  std::map<std::string, int> tasks_of;
  for (const config::TaskSpec& task : config::TaskSpecs()) {
    const auto curves = ReadPublishedCurves(DefaultPublishedDir(), task.task);
    if (!curves.ok()) {
      EXPECT_EQ(curves.status().code(), absl::StatusCode::kNotFound) << curves.status();
      continue;
    }
    for (const PublishedCurve& curve : *curves) {
      ++tasks_of[curve.method];
      EXPECT_LE(curve.frames.front(), 1e5) << curve.method << " " << task.task;
      EXPECT_GE(curve.frames.back(), 1e6) << curve.method << " " << task.task;
    }
  }
  EXPECT_EQ(tasks_of.size(), 7u);
  for (const auto& [method, tasks] : tasks_of) EXPECT_EQ(tasks, 28) << method;
}

}  // namespace
}  // namespace pompc::learner
