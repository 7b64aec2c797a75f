#include "learner/status/status_board.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/numbers.h"
#include "common/base/check.h"
#include "common/io/files.h"
#include "learner/status/status_html.h"
#include "learner/status/status_json.h"
#include "rundir/csv_file.h"

namespace pompc::learner {
namespace {

References ReadReferences(const StatusBoardOptions& options) {
  if (options.config.schedule() == proto::RunConfig::OFFLINE) {
    return {.note = "published curves stand over frames, and an OFFLINE run acts in none"};
  }
  auto curves = ReadPublishedCurves(options.published_dir, options.config.env().task());
  if (curves.ok()) return {.curves = *std::move(curves)};
  // A missing file is NOT_FOUND as well, and names itself.
  std::error_code error;
  const auto file = std::filesystem::path(options.published_dir) / "dmc.csv";
  if (absl::IsNotFound(curves.status()) && std::filesystem::exists(file, error)) {
    return {.note = "there is no published curve of this task"};
  }
  return {.note = std::string(curves.status().message())};
}

// The episodes that earlier starts wrote down; none where the table cannot be read, which the
// monitor then tells of.
EpisodeHistory ReadEpisodes(const std::string& run_dir) {
  EpisodeHistory history(StatusBoard::kMaxPoints);
  const auto rows = rundir::ReadCsv(
      run_dir + "/episodes.csv", {"elapsed_seconds", "rows", "episodes", "actor_index", "return"});
  if (!rows.ok()) return history;
  for (const rundir::CsvFile::Row& row : *rows) {
    double seconds = 0, count = 0, episode_return = 0;
    if (absl::SimpleAtod(row[0], &seconds) && absl::SimpleAtod(row[1], &count) &&
        absl::SimpleAtod(row[4], &episode_return)) {
      history.Add(count, seconds, episode_return);
    }
  }
  return history;
}

}  // namespace

StatusBoard::StatusBoard(const StatusBoardOptions& options)
    : options_(options),
      references_(ReadReferences(options)),
      recent_(kMaxPoints, Overflow::kDropOldest),
      whole_(kMaxPoints, Overflow::kHalve),
      episodes_(ReadEpisodes(options.run_dir)) {}

bool StatusBoard::Due() const {
  MutexLock lock(&mu_);
  return !observed_at_.has_value() || options_.clock->Now() - *observed_at_ >= options_.interval;
}

void StatusBoard::Observe(const proto::RunStatus& status, const LearnerCounters& counters) {
  POMPC_CHECK_EQ(counters.activity_seconds.size(), options_.activities.size());
  POMPC_CHECK_EQ(counters.held_seconds.size(), options_.hold_reasons.size());
  double actors = 0, waiting = 0;
  for (const proto::PeerStatus& peer : status.peers()) {
    if (peer.role() != proto::ACTOR) continue;
    ++actors;
    if (!peer.waiting().empty()) ++waiting;
  }
  const absl::Duration now = options_.clock->Now();
  MutexLock lock(&mu_);
  const double passed = observed_at_.has_value() ? absl::ToDoubleSeconds(now - *observed_at_) : 0;
  observed_at_ = now;
  actor_seconds_ += passed * actors;
  waiting_actor_seconds_ += passed * waiting;
  ranks_present_ = counters.ranks_present;
  CountPlannedRows(status);
  CounterPoint point = {status.elapsed_seconds(),
                        {static_cast<double>(status.rows()), static_cast<double>(status.updates()),
                         static_cast<double>(new_planned_rows_)}};
  for (const auto* seconds : {&counters.activity_seconds, &counters.held_seconds}) {
    point.totals.insert(point.totals.end(), seconds->begin(), seconds->end());
  }
  point.totals.insert(point.totals.end(), {actor_seconds_, waiting_actor_seconds_});
  recent_.Add(point);
  whole_.Add(std::move(point));
}

void StatusBoard::CountPlannedRows(const proto::RunStatus& status) {
  for (const proto::ShardStatus& shard : status.shards()) {
    // One without a capacity has not answered yet.
    if (shard.capacity_rows() == 0) continue;
    const auto [known, first] = planned_rows_.try_emplace(shard.index(), shard.planned_rows());
    if (!first && shard.planned_rows() > known->second) {
      new_planned_rows_ += shard.planned_rows() - known->second;
    }
    known->second = shard.planned_rows();
  }
}

void StatusBoard::AddEpisodes(const std::vector<run::EpisodeNews>& episodes) {
  MutexLock lock(&mu_);
  for (const run::EpisodeNews& episode : episodes) {
    episodes_.Add(static_cast<double>(episode.rows), episode.elapsed_seconds,
                  episode.episode_return);
  }
}

StatusView StatusBoard::View(const proto::GetRunReply& run) const {
  StatusView view;
  view.run = run;
  view.time = WallTime();
  view.learner_start = options_.learner_start;
  view.ranks = options_.ranks;
  view.recent = {{}, options_.activities, options_.hold_reasons};
  view.whole = view.recent;
  view.references = references_;
  view.log = RecentLog::Sink()->Lines();
  view.warnings = RecentLog::Sink()->Warnings();
  view.videos = FindVideos(options_.run_dir);
  MutexLock lock(&mu_);
  view.ranks_present = ranks_present_;
  view.recent.points = recent_.Points();
  view.whole.points = whole_.Points();
  view.training = episodes_.bins();
  return view;
}

std::string StatusBoard::Html(const proto::GetRunReply& run) const { return StatusHtml(View(run)); }

std::string StatusBoard::Json(const proto::GetRunReply& run) const {
  return StatusJson(View(run), kMaxPoints);
}

HttpPage StatusBoard::VideoPage(size_t position) const {
  const std::vector<Video> videos = FindVideos(options_.run_dir);
  if (position >= videos.size()) return {};
  absl::StatusOr<std::string> content = ReadFile(videos[position].path, kMaxVideoBytes);
  if (!content.ok()) return {};
  return {videos[position].content_type, *std::move(content)};
}

}  // namespace pompc::learner
