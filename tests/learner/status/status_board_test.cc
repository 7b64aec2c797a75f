#include "learner/status/status_board.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/config/run_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "learner/status/videos.h"
#include "nlohmann/json.hpp"
#include "tests/rundir/scratch_folder.h"

namespace pompc::learner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Json = nlohmann::json;

class StatusBoardTest : public testing::Test {
 protected:
  StatusBoardTest() {
    options_.run_dir = folder_.path();
    options_.config = config::Resolve(proto::RunConfig());
    options_.config.mutable_env()->set_task("walker-run");
    options_.published_dir = DefaultPublishedDir();
    options_.activities = {"updating", "ratio"};
    options_.hold_reasons = {"ratio"};
    options_.clock = &clock_;
    run_.set_run_id("one");
    *run_.mutable_config() = options_.config;
    proto::PeerStatus* actor = run_.mutable_status()->add_peers();
    actor->set_role(proto::ACTOR);
    run_.mutable_status()->add_peers()->set_role(proto::ACTOR);
    run_.mutable_status()->add_peers()->set_role(proto::EVALUATOR);
    run_.mutable_status()->add_shards()->set_capacity_rows(1000);
  }

  // The run after so many seconds: 10 rows and 5 updates a second, one of two actors waits.
  proto::RunStatus StatusAt(double seconds) {
    proto::RunStatus* status = run_.mutable_status();
    status->set_elapsed_seconds(seconds);
    status->set_rows(static_cast<uint64_t>(10 * seconds));
    status->set_updates(static_cast<uint64_t>(5 * seconds));
    status->mutable_shards(0)->set_planned_rows(static_cast<uint64_t>(8 * seconds));
    status->mutable_peers(0)->set_waiting("a plan");
    return *status;
  }

  Json Document(const StatusBoard& board) { return Json::parse(board.Json(run_)); }

  ScratchFolder folder_;
  FakeClock clock_;
  StatusBoardOptions options_;
  proto::GetRunReply run_;
};

TEST_F(StatusBoardTest, LooksAtTheCountersAtItsInterval) {
  StatusBoard board(options_);
  EXPECT_TRUE(board.Due());
  for (int i = 0; i <= 5; ++i) {
    board.Observe(StatusAt(2 * i), {{1.5 * i, 0.5 * i}, {0.5 * i}, 1});
    EXPECT_FALSE(board.Due());
    clock_.Advance(absl::Milliseconds(1999));
    EXPECT_FALSE(board.Due());
    clock_.Advance(absl::Milliseconds(1));
    EXPECT_TRUE(board.Due());
  }
  const Json document = Document(board);
  for (const char* history : {"recent", "whole"}) {
    const Json& shown = document[history];
    EXPECT_THAT(shown["seconds"], ElementsAre(0, 2, 4, 6, 8, 10)) << history;
    EXPECT_THAT(shown["rows_per_second"], ElementsAre(10, 10, 10, 10, 10));
    EXPECT_EQ(shown["plans_per_second"][4], 8);
    EXPECT_EQ(shown["learner"][0]["share"][0], 0.75);
    EXPECT_EQ(shown["learner"][1]["share"][0], 0.25);
    EXPECT_EQ(shown["writers_held"][0]["share"][0], 0.25);
    EXPECT_EQ(shown["actors"][4], 2);
    EXPECT_EQ(shown["actors_waiting"][4], 0.5);
  }
  EXPECT_EQ(document["counts"]["plans_per_second"], 8);
}

TEST_F(StatusBoardTest, RowsThatAShardBringsAlongAreNotNew) {
  StatusBoard board(options_);
  proto::RunStatus status = StatusAt(0);
  const auto look = [&](double seconds, uint64_t capacity, uint64_t planned) {
    status.set_elapsed_seconds(seconds);
    status.mutable_shards(0)->set_capacity_rows(capacity);
    status.mutable_shards(0)->set_planned_rows(planned);
    board.Observe(status, {{0, 0}, {0}, 1});
  };
  look(0, 0, 0);       // It has not answered yet,
  look(2, 1000, 900);  // tells what it holds,
  look(4, 1000, 920);  // takes 20 rows,
  look(6, 1000, 5);    // has lost its memory,
  look(8, 1000, 15);   // and takes 10 rows.
  EXPECT_THAT(Document(board)["recent"]["plans_per_second"], ElementsAre(0, 10, 0, 5));
}

TEST_F(StatusBoardTest, LongRunsKeepTheirBeginningAndTheLastMinutes) {
  StatusBoard board(options_);
  for (int i = 0; i <= 5000; ++i) board.Observe(StatusAt(2 * i), {{1.0 * i, 1.0 * i}, {0}, 1});
  const Json document = Document(board);
  for (const char* history : {"recent", "whole"}) {
    EXPECT_LE(document[history]["seconds"].size(), StatusBoard::kMaxPoints);
    EXPECT_GE(document[history]["seconds"].size(), StatusBoard::kMaxPoints / 2);
    EXPECT_EQ(document[history]["seconds"].back(), 10000);
  }
  EXPECT_EQ(document["whole"]["seconds"][0], 0);
  EXPECT_GE(document["recent"]["seconds"][0], 10000 - 600);
}

TEST_F(StatusBoardTest, GoesOnWithTheEpisodesOfEarlierStarts) {
  std::ofstream(folder_.path() + "/episodes.csv")
      << "elapsed_seconds,rows,episodes,actor_index,return\n5,500,1,0,12.5\n10,1000,2,0,20\n";
  StatusBoard board(options_);
  board.AddEpisodes({{.rows = 1500, .elapsed_seconds = 15, .episode_return = 30}});
  const Json training = Document(board)["training"];
  EXPECT_THAT(training["rows"], ElementsAre(500, 1000, 1500));
  EXPECT_THAT(training["return_mean"], ElementsAre(12.5, 20, 30));
}

TEST_F(StatusBoardTest, ReferencesAreThoseOfTheTaskOrSayWhyNot) {
  const auto references = [this] { return Document(StatusBoard(options_))["references"]; };
  EXPECT_THAT(references()["curves"], SizeIs(7));
  EXPECT_EQ(references()["note"], "");
  options_.config.mutable_env()->set_task("pendulum-of-mine");
  EXPECT_EQ(references()["note"], "there is no published curve of this task");
  options_.config.set_schedule(proto::RunConfig::OFFLINE);
  EXPECT_THAT(std::string(references()["note"]), HasSubstr("OFFLINE"));
  options_.config.set_schedule(proto::RunConfig::CONCURRENT);
  options_.published_dir = folder_.path() + "/nowhere";
  EXPECT_THAT(std::string(references()["note"]), HasSubstr("nowhere/dmc.csv"));
}

TEST_F(StatusBoardTest, ShowsTheNewestVideosOfTheRun) {
  const std::filesystem::path videos = folder_.path() + "/videos";
  std::filesystem::create_directories(videos);
  const auto write = [&](const std::string& name, int age_seconds, const std::string& content) {
    std::ofstream(videos / name) << content;
    std::filesystem::last_write_time(
        videos / name, std::filesystem::file_time_type() + std::chrono::seconds(-age_seconds));
  };
  for (int i = 0; i < 6; ++i) write(absl::StrCat(i, ".mp4"), i, absl::StrCat("film ", i));
  write("notes.txt", 0, "no film");
  write("large.mp4", 0, "");
  std::filesystem::resize_file(videos / "large.mp4", kMaxVideoBytes + 1);
  StatusBoard board(options_);
  const Json shown = Document(board)["videos"];
  ASSERT_THAT(shown, SizeIs(kMaxVideos));
  EXPECT_EQ(shown[0]["name"], "0.mp4");
  EXPECT_THAT(std::string(shown[0]["path"]), HasSubstr("status/video/0?"));
  EXPECT_EQ(board.VideoPage(1).body, "film 1");
  EXPECT_EQ(board.VideoPage(1).content_type, "video/mp4");
  EXPECT_EQ(board.VideoPage(kMaxVideos).body, "");
}

}  // namespace
}  // namespace pompc::learner
