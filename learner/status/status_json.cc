#include "learner/status/status_json.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/base/check.h"
#include "common/process/program.h"
#include "common/values/short_text.h"
#include "common/values/utf8.h"
#include "learner/status/processes.h"
#include "nlohmann/json.hpp"
#include "proto/parameter_version.h"
#include "run/control/names.h"
#include "run/control/status_report.h"

namespace pompc::learner {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxProcesses = 256;
constexpr size_t kMaxShards = 256;
constexpr size_t kMaxTextBytes = 1000;
// Rates are those between the newest counters and the first of the last half minute.
constexpr double kRateSeconds = 30;

// Texts come from other processes, paths may be any bytes.
Json Text(absl::string_view text) { return ShortText(ToUtf8(text), kMaxTextBytes); }

// Four digits are more than a picture shows, and make short text. What is no number is null.
Json Number(double value) {
  if (!std::isfinite(value)) return nullptr;
  if (value == 0) return 0;
  const double unit = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 3);
  // A quotient of two integers reads as the decimal number that it is.
  const double rounded =
      unit < 1 ? std::round(value / unit) / std::round(1 / unit) : std::round(value / unit) * unit;
  if (!std::isfinite(rounded)) return value;
  // Large whole numbers stand without an exponent.
  if (rounded == std::floor(rounded) && std::abs(rounded) < 1e15) {
    return static_cast<int64_t>(rounded);
  }
  return rounded;
}

Json Share(double value) { return std::round(std::clamp(value, 0.0, 1.0) * 1000) / 1000; }

// Tenths are enough for times of a run.
Json Seconds(double value) { return std::isfinite(value) ? std::round(value * 10) / 10 : 0; }

Json Time(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

// The increase of a column from one point to another, per second; counters that began anew count
// as standing still.
double Rate(const CounterPoint& before, const CounterPoint& after, size_t column) {
  const double seconds = after.seconds - before.seconds;
  return seconds > 0 ? std::max(0.0, after.totals[column] - before.totals[column]) / seconds : 0;
}

Json Rates(const std::vector<CounterPoint>& points, size_t column) {
  Json rates = Json::array();
  for (size_t i = 1; i < points.size(); ++i) {
    rates.push_back(Number(Rate(points[i - 1], points[i], column)));
  }
  return rates;
}

Json Shares(const std::vector<CounterPoint>& points, const std::vector<std::string>& names,
            size_t first_column) {
  Json series = Json::array();
  for (size_t n = 0; n < names.size(); ++n) {
    Json share = Json::array();
    for (size_t i = 1; i < points.size(); ++i) {
      share.push_back(Share(Rate(points[i - 1], points[i], first_column + n)));
    }
    series.push_back({{"name", names[n]}, {"share", std::move(share)}});
  }
  return series;
}

// The share of the actors' time that they waited; null where there was no actor.
Json WaitingActors(const std::vector<CounterPoint>& points, size_t actor_column) {
  Json share = Json::array();
  for (size_t i = 1; i < points.size(); ++i) {
    const double actors = Rate(points[i - 1], points[i], actor_column);
    const double waiting = Rate(points[i - 1], points[i], actor_column + 1);
    share.push_back(actors > 0 ? Share(waiting / actors) : Json(nullptr));
  }
  return share;
}

Json HistoryJson(const StatusHistory& history) {
  const std::vector<CounterPoint>& points = history.points;
  const size_t held = 3 + history.activities.size();
  const size_t actors = held + history.hold_reasons.size();
  Json seconds = Json::array();
  for (const CounterPoint& point : points) seconds.push_back(Seconds(point.seconds));
  return {{"seconds", std::move(seconds)},
          {"rows_per_second", Rates(points, 0)},
          {"updates_per_second", Rates(points, 1)},
          {"plans_per_second", Rates(points, 2)},
          {"learner", Shares(points, history.activities, 3)},
          {"writers_held", Shares(points, history.hold_reasons, held)},
          {"actors", Rates(points, actors)},
          {"actors_waiting", WaitingActors(points, actors)}};
}

// The rate over the last half minute of the history, or between its two newest points.
double PresentRate(const StatusHistory& history, size_t column) {
  const std::vector<CounterPoint>& points = history.points;
  if (points.size() < 2) return 0;
  size_t first = points.size() - 2;
  while (first > 0 && points.back().seconds - points[first - 1].seconds <= kRateSeconds) --first;
  return Rate(points[first], points.back(), column);
}

Json RunJson(const StatusView& view) {
  const proto::RunConfig& config = view.run.config();
  const proto::RunStatus& status = view.run.status();
  return {{"id", Text(view.run.run_id())},
          {"task", Text(config.env().task())},
          {"seed", config.seed()},
          {"schedule", proto::RunConfig::Schedule_Name(config.schedule())},
          {"action_repeat", config.env().action_repeat()},
          {"run_dir", Text(status.run_dir())},
          {"learner_start", view.learner_start},
          {"phase", proto::Phase_Name(status.phase())},
          {"over_reason", Text(status.over_reason())},
          {"waiting", Text(status.waiting())},
          {"elapsed_seconds", Seconds(status.elapsed_seconds())},
          {"remaining_seconds", Seconds(status.remaining_seconds())},
          {"max_rows", status.limiter().limits().max_rows()},
          {"max_updates", config.stop().max_updates()},
          {"goal_return", config.stop().return_mean()},
          {"version", FromProto(status.version()).ToString()},
          {"restorations", status.restorations()},
          {"checkpoint_error", Text(status.checkpoint_error())},
          {"checkpoint_failing_seconds", Seconds(status.checkpoint_failing_seconds())}};
}

Json CountsJson(const StatusView& view) {
  const proto::RunStatus& status = view.run.status();
  const proto::LimiterStatus& limiter = status.limiter();
  return {{"rows", status.rows()},
          {"frames", status.rows() * view.run.config().env().action_repeat()},
          {"updates", status.updates()},
          {"episodes", status.episodes()},
          {"rows_bound", limiter.rows_bound()},
          {"updates_bound", limiter.updates_bound()},
          {"environments", status.environments()},
          {"wanted_environments", Number(status.wanted_environments())},
          {"rows_per_second", Number(status.rows_per_second())},
          {"updates_per_second", Number(status.updates_per_second())},
          {"plans_per_second", Number(PresentRate(view.recent, 2))}};
}

Json EvaluationJson(const proto::EvaluationResult& result) {
  return {{"rows", result.rows()},
          {"updates", result.updates()},
          {"seconds", Seconds(result.elapsed_seconds())},
          {"return_mean", Number(result.return_mean())},
          {"return_ci95", Number(result.return_ci95())},
          {"episodes", result.episodes()}};
}

Json EvaluationsJson(const StatusView& view, size_t max_points) {
  const proto::RunStatus& status = view.run.status();
  const proto::RunConfig& config = view.run.config();
  const bool offline = config.schedule() == proto::RunConfig::OFFLINE;
  std::optional<size_t> best;
  if (status.has_best_evaluation()) best = status.best_evaluation();
  Json rows = Json::array(), updates = Json::array(), seconds = Json::array();
  Json mean = Json::array(), ci95 = Json::array(), least = Json::array(), most = Json::array();
  for (const size_t i : ThinnedPositions(status.evaluations_size(), max_points, best)) {
    const proto::EvaluationResult& result = status.evaluations(static_cast<int>(i));
    rows.push_back(result.rows());
    updates.push_back(result.updates());
    seconds.push_back(Seconds(result.elapsed_seconds()));
    mean.push_back(Number(result.return_mean()));
    ci95.push_back(Number(result.return_ci95()));
    least.push_back(Number(result.return_min()));
    most.push_back(Number(result.return_max()));
  }
  return {
      {"total", status.evaluations_size()},
      {"every_rows", offline ? 0 : config.evaluation().every_rows()},
      {"every_updates", offline ? config.evaluation().every_updates() : 0},
      {"best", best ? EvaluationJson(status.evaluations(static_cast<int>(*best))) : Json(nullptr)},
      {"rows", std::move(rows)},
      {"updates", std::move(updates)},
      {"seconds", std::move(seconds)},
      {"return_mean", std::move(mean)},
      {"return_ci95", std::move(ci95)},
      {"return_min", std::move(least)},
      {"return_max", std::move(most)}};
}

Json TrainingJson(const StatusView& view) {
  Json rows = Json::array(), seconds = Json::array(), mean = Json::array();
  Json episodes = Json::array();
  for (const EpisodeBin& bin : view.training) {
    rows.push_back(static_cast<uint64_t>(bin.rows));
    seconds.push_back(Seconds(bin.seconds));
    mean.push_back(Number(bin.return_mean));
    episodes.push_back(bin.episodes);
  }
  return {{"rows", std::move(rows)},
          {"seconds", std::move(seconds)},
          {"return_mean", std::move(mean)},
          {"episodes", std::move(episodes)}};
}

Json ReferencesJson(const References& references) {
  Json curves = Json::array();
  for (const PublishedCurve& curve : references.curves) {
    Json frames = Json::array();
    for (const double count : curve.frames) frames.push_back(static_cast<int64_t>(count));
    curves.push_back({{"method", Text(curve.method)},
                      {"index", curve.index},
                      {"frames", std::move(frames)},
                      {"return_mean", curve.return_mean}});
  }
  return {{"note", Text(references.note)}, {"curves", std::move(curves)}};
}

// Counts the processes of each role in each state, those that the list leaves out among them.
Json HealthCountsJson(const std::vector<ProcessView>& processes) {
  std::map<std::pair<std::string, std::string>, size_t> counts;
  for (const ProcessView& process : processes) ++counts[{process.role, process.health}];
  Json list = Json::array();
  for (const auto& [key, count] : counts) {
    list.push_back({{"role", key.first}, {"health", key.second}, {"count", count}});
  }
  return list;
}

// If there are too many, those that somebody should look at are kept.
Json ProcessesJson(std::vector<ProcessView> processes) {
  if (processes.size() > kMaxProcesses) {
    const auto rank = [](const ProcessView& process) {
      return process.health == kTrouble ? 0 : process.health == kWaiting ? 1 : 2;
    };
    std::stable_sort(
        processes.begin(), processes.end(),
        [&rank](const ProcessView& a, const ProcessView& b) { return rank(a) < rank(b); });
    processes.resize(kMaxProcesses);
  }
  Json list = Json::array();
  for (const ProcessView& process : processes) {
    list.push_back({{"role", process.role},
                    {"index", process.index ? Json(*process.index) : Json(nullptr)},
                    {"name", Text(process.name)},
                    {"address", Text(process.address)},
                    {"health", process.health},
                    {"detail", Text(process.detail)},
                    {"silent_seconds",
                     process.silent_seconds ? Seconds(*process.silent_seconds) : Json(nullptr)}});
  }
  return list;
}

Json ReplayJson(const StatusView& view) {
  const proto::RunStatus& status = view.run.status();
  Json shards = Json::array();
  for (const proto::ShardStatus& shard : status.shards()) {
    if (shards.size() == kMaxShards) break;
    shards.push_back({{"index", shard.index()},
                      {"reachable", shard.reachable()},
                      {"stored_rows", shard.stored_rows()},
                      {"capacity_rows", shard.capacity_rows()},
                      {"accepted_rows", shard.accepted_rows()},
                      {"windows", shard.windows()},
                      {"held_writers", shard.blocked_streams()}});
  }
  return {{"min_rows", status.limiter().min_rows()}, {"shards", std::move(shards)}};
}

Json LogJson(const std::vector<LogLine>& lines) {
  Json list = Json::array();
  for (const LogLine& line : lines) {
    const auto level = spdlog::level::to_string_view(line.level);
    list.push_back({{"time", Time(line.time)},
                    {"level", std::string(level.data(), level.size())},
                    {"text", Text(line.text)}});
  }
  return list;
}

Json VideosJson(const std::vector<Video>& videos) {
  Json list = Json::array();
  for (size_t i = 0; i < videos.size(); ++i) {
    // A browser keeps what it has seen under one address, so a new film gets another one.
    list.push_back({{"name", Text(videos[i].name)},
                    {"path", VideoPath(i) + "?" + std::to_string(videos[i].written)},
                    {"type", videos[i].content_type},
                    {"bytes", videos[i].bytes}});
  }
  return list;
}

}  // namespace

std::string StatusJson(const StatusView& view, size_t max_points) {
  POMPC_CHECK_GE(max_points, 3u);
  const std::vector<ProcessView> processes = Processes(view);
  const Json document = {{"format", kStatusFormat},
                         {"program", Version()},
                         {"time", Time(view.time)},
                         {"run", RunJson(view)},
                         {"counts", CountsJson(view)},
                         {"evaluations", EvaluationsJson(view, max_points)},
                         {"training", TrainingJson(view)},
                         {"references", ReferencesJson(view.references)},
                         {"recent", HistoryJson(view.recent)},
                         {"whole", HistoryJson(view.whole)},
                         {"health_counts", HealthCountsJson(processes)},
                         {"processes", ProcessesJson(processes)},
                         {"replay", ReplayJson(view)},
                         {"log", LogJson(view.log)},
                         {"warnings", LogJson(view.warnings)},
                         {"videos", VideosJson(view.videos)}};
  return document.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace pompc::learner
