#include "cli/replay/listing.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/values/parameter_version.h"
#include "common/values/text_table.h"
#include "nlohmann/json.hpp"

namespace pompc::cli {
namespace {

using Json = nlohmann::ordered_json;

// Rows of a table that are laid out together, so that memory does not grow with their number.
constexpr size_t kRowsOfATable = 10'000;

std::string ActorText(const replay::SegmentId& id) {
  if (id.imported()) return absl::StrFormat("data set %08x", id.environment);
  return absl::StrCat(id.actor_index, ".", id.incarnation);
}

Json SegmentJson(const replay::SegmentId& id) {
  return {{"actor_index", id.actor_index}, {"incarnation", id.incarnation},
          {"environment", id.environment}, {"episode", id.episode},
          {"segment", id.segment},         {"imported", id.imported()}};
}

// What is known of the stored rows of a segment.
struct EpisodeSummary {
  uint32_t shard = 0;
  replay::SegmentId segment;
  uint64_t address = 0;
  uint64_t first_row = 0;
  uint64_t rows = 0;
  uint64_t planned = 0;
  double reward = 0;
  bool terminated = false;
  bool ended = false;

  std::string End() const { return terminated ? "terminated" : ended ? "ended" : "open"; }
};

// Sums up runs of rows by segment. Only the sums are kept, so the memory grows with the number of
// segments and not of rows. Segments stay in the order of their first rows.
class EpisodeList {
 public:
  void Add(uint32_t shard, const replay::RowRun& run) {
    const replay::SegmentId& id = run.segment;
    const auto key = std::make_tuple(shard, id.actor_index, id.incarnation, id.environment,
                                     id.episode, id.segment);
    const auto [found, is_new] = positions_.try_emplace(key, episodes_.size());
    if (is_new) {
      episodes_.push_back(
          {.shard = shard, .segment = id, .address = run.address, .first_row = run.first_row});
    }
    EpisodeSummary& episode = episodes_[found->second];
    episode.rows += run.rows.count;
    for (const float reward : run.rows.Get<float>("rewards")) episode.reward += reward;
    const std::span<const uint8_t> planned = run.rows.Get<uint8_t>("has_plan");
    episode.planned += static_cast<uint64_t>(std::count(planned.begin(), planned.end(), 1));
    const std::span<const uint8_t> terminated = run.rows.Get<uint8_t>("terminated");
    // Runs come in the order of their rows, and only a segment's last row can be terminated.
    if (!terminated.empty()) episode.terminated = terminated.back() != 0;
    // A segment without a final observation may still grow: its episode goes on, or its writer is
    // gone.
    if (!run.rows.final_observation.empty()) episode.ended = true;
  }
  const std::vector<EpisodeSummary>& episodes() const { return episodes_; }

 private:
  std::map<std::tuple<uint32_t, uint32_t, uint64_t, uint32_t, uint64_t, uint32_t>, size_t>
      positions_;
  std::vector<EpisodeSummary> episodes_;
};

Json EpisodeJson(const EpisodeSummary& episode) {
  Json json = {{"shard", episode.shard}};
  json.update(SegmentJson(episode.segment));
  json.update({{"address", episode.address},
               {"first_row", episode.first_row},
               {"rows", episode.rows},
               {"planned_rows", episode.planned},
               {"return", episode.reward},
               {"end", episode.End()}});
  return json;
}

std::vector<std::string> EpisodeCells(const EpisodeSummary& episode) {
  const replay::SegmentId& id = episode.segment;
  return {absl::StrCat(episode.shard),
          ActorText(id),
          absl::StrCat(id.environment),
          absl::StrCat(id.episode),
          absl::StrCat(id.segment),
          absl::StrCat(episode.address),
          absl::StrCat(episode.first_row),
          FormatCount(episode.rows),
          FormatCount(episode.planned),
          absl::StrFormat("%.2f", episode.reward),
          episode.End()};
}

// The numbers of a column in row `i` of a run.
std::span<const float> Floats(const replay::RowRun& run, replay::ColumnOf<float> column,
                              uint32_t i) {
  const std::span<const float> all = run.rows.Get<float>(column);
  const size_t each = all.size() / run.rows.count;
  return all.subspan(i * each, each);
}

// The first numbers of a vector: a row must fit a line of the terminal, whatever the task. JSON has
// all of them.
std::string Vector(std::span<const float> numbers) {
  constexpr size_t kShown = 6;
  const size_t shown = std::min(numbers.size(), kShown);
  const std::string text = absl::StrJoin(
      numbers.first(shown), " ",
      [](std::string* out, float number) { absl::StrAppendFormat(out, "%.4g", number); });
  return absl::StrCat("[", text, shown < numbers.size() ? " ..." : "", "]");
}

// Prints rows one by one, as lines of JSON or as tables, which begin anew every kRowsOfATable rows.
// A segment's final observation counts as one more row: it has an address and a number like them.
class RowPrinter {
 public:
  RowPrinter(bool json, std::ostream& out) : json_(json), out_(out) {}
  ~RowPrinter() { Flush(); }

  void Add(uint32_t shard, const replay::RowRun& run, uint32_t i) {
    const bool final = i == run.rows.count;
    if (json_) {
      out_ << (final ? FinalJson(shard, run) : RowJson(shard, run, i)).dump() << "\n";
      return;
    }
    table_.push_back(final ? FinalCells(shard, run) : RowCells(shard, run, i));
    if (table_.size() >= kRowsOfATable) Flush();
  }

 private:
  Json Place(uint32_t shard, const replay::RowRun& run, uint32_t i) const {
    Json json = {{"shard", shard}, {"address", run.address + i}};
    json.update(SegmentJson(run.segment));
    json["row"] = run.first_row + i;
    return json;
  }
  Json FinalJson(uint32_t shard, const replay::RowRun& run) const {
    Json json = Place(shard, run, run.rows.count);
    json["final_observation"] =
        std::vector<float>(run.rows.final_observation.begin(), run.rows.final_observation.end());
    return json;
  }
  Json RowJson(uint32_t shard, const replay::RowRun& run, uint32_t i) const {
    Json json = Place(shard, run, i);
    const auto numbers = [&](replay::ColumnOf<float> column) {
      const std::span<const float> floats = Floats(run, column, i);
      return std::vector<float>(floats.begin(), floats.end());
    };
    json["observation"] = numbers("observations");
    json["action"] = numbers("actions");
    json["reward"] = run.rows.Get<float>("rewards")[i];
    json["terminated"] = run.rows.Get<uint8_t>("terminated")[i] != 0;
    const bool planned = run.rows.Get<uint8_t>("has_plan")[i] != 0;
    json["has_plan"] = planned;
    // What a row without a plan holds in its place are fillers, which nobody should take for one.
    if (!planned) return json;
    json["plan_mean"] = numbers("plan_mean");
    json["plan_std"] = numbers("plan_std");
    json["plan_value"] = run.rows.Get<float>("plan_value")[i];
    json["version"] = run.rows.Get<ParameterVersion>("versions")[i].ToString();
    return json;
  }

  std::vector<std::string> PlaceCells(uint32_t shard, const replay::RowRun& run, uint32_t i) const {
    const replay::SegmentId& id = run.segment;
    return {absl::StrCat(shard),
            absl::StrCat(run.address + i),
            ActorText(id),
            absl::StrCat(id.environment),
            absl::StrCat(id.episode),
            absl::StrCat(id.segment),
            absl::StrCat(run.first_row + i)};
  }
  std::vector<std::string> FinalCells(uint32_t shard, const replay::RowRun& run) const {
    std::vector<std::string> cells = PlaceCells(shard, run, run.rows.count);
    // It earned no reward, ended nothing and was not planned.
    for (const char* none : {"", "", ""}) cells.emplace_back(none);
    cells.push_back(Vector(run.rows.final_observation));
    cells.emplace_back("final");
    return cells;
  }
  std::vector<std::string> RowCells(uint32_t shard, const replay::RowRun& run, uint32_t i) const {
    std::vector<std::string> cells = PlaceCells(shard, run, i);
    const bool planned = run.rows.Get<uint8_t>("has_plan")[i] != 0;
    cells.push_back(absl::StrFormat("%.5g", run.rows.Get<float>("rewards")[i]));
    cells.push_back(run.rows.Get<uint8_t>("terminated")[i] != 0 ? "yes" : "no");
    cells.push_back(planned ? run.rows.Get<ParameterVersion>("versions")[i].ToString() : "none");
    cells.push_back(Vector(Floats(run, "observations", i)));
    cells.push_back(Vector(Floats(run, "actions", i)));
    return cells;
  }

  void Flush() {
    if (table_.empty()) return;
    TextTable rows = {{"shard", "address", "actor", "environment", "episode", "segment", "row",
                       "reward", "terminated", "plan", "observation", "action"}};
    std::move(table_.begin(), table_.end(), std::back_inserter(rows));
    table_.clear();
    out_ << FormatTable(rows);
  }

  const bool json_;
  std::ostream& out_;
  TextTable table_;
};

Json ShardJson(const ReplaySource::Shard& shard) {
  const proto::ShardDescription& description = shard.reader->description();
  const proto::ShardInfo& info = description.info();
  return {{"shard", info.shard_index()},
          {"address", shard.place},
          {"run_id", description.run_id()},
          {"task", description.task()},
          {"shards", description.shard_count()},
          {"observation_size", description.spec().observation_size()},
          {"action_size", description.spec().action_size()},
          {"horizon", description.horizon()},
          {"capacity_rows", info.capacity_rows()},
          {"stored_rows", info.stored_rows()},
          {"stored_bytes", info.stored_bytes()},
          {"windows", info.windows()},
          {"barred_windows", info.barred_windows()},
          {"oldest_address", description.oldest_address()},
          {"next_address", description.next_address()},
          {"accepted_rows", info.accepted_rows()},
          {"planned_rows", info.planned_rows()},
          {"imported_rows", info.imported_rows()},
          {"max_accepted_rows", info.max_accepted_rows()},
          {"streams", info.streams()},
          {"blocked_streams", info.blocked_streams()},
          {"shard_incarnation", info.shard_incarnation()}};
}

}  // namespace

void PrintShards(const ReplaySource& source, bool json, std::ostream& out) {
  if (json) {
    for (const auto& shard : source.shards()) out << ShardJson(shard).dump() << "\n";
    return;
  }
  const proto::ShardDescription& run = source.run();
  out << FormatFields({{"run", run.run_id()},
                       {"task", run.task().empty() ? "unknown" : run.task()},
                       {"observation", absl::StrCat(run.spec().observation_size(), " numbers")},
                       {"action", absl::StrCat(run.spec().action_size(), " numbers")},
                       {"windows of", absl::StrCat(run.horizon(), " rows")},
                       {"shards", absl::StrCat(run.shard_count(), ", of which are shown ",
                                               source.shards().size())}});
  TextTable rows = {{"shard", "address", "stored", "capacity", "MiB", "windows", "barred",
                     "accepted", "planned", "imported", "granted", "oldest", "next", "writers",
                     "blocked"}};
  for (const auto& shard : source.shards()) {
    const proto::ShardInfo& info = shard.reader->description().info();
    rows.push_back({absl::StrCat(info.shard_index()), shard.place, FormatCount(info.stored_rows()),
                    FormatCount(info.capacity_rows()),
                    absl::StrFormat("%.1f", static_cast<double>(info.stored_bytes()) / (1 << 20)),
                    FormatCount(info.windows()), FormatCount(info.barred_windows()),
                    FormatCount(info.accepted_rows()), FormatCount(info.planned_rows()),
                    FormatCount(info.imported_rows()), FormatCount(info.max_accepted_rows()),
                    FormatCount(shard.reader->description().oldest_address()),
                    FormatCount(shard.reader->description().next_address()),
                    absl::StrCat(info.streams()), absl::StrCat(info.blocked_streams())});
  }
  out << "\n" << FormatTable(rows);
}

absl::Status PrintEpisodes(const ReplaySource& source, const replay::RowSelection& selection,
                           bool json, std::ostream& out) {
  EpisodeList list;
  // The sums need no observations, actions or Gaussians, which are most of the bytes.
  replay::RowSelection scalars = selection;
  scalars.all_columns = false;
  for (const auto& shard : source.shards()) {
    const uint32_t index = shard.reader->description().info().shard_index();
    POMPC_RETURN_IF_ERROR(
        shard.reader->Read(scalars, [&](const replay::RowRun& run) -> absl::StatusOr<bool> {
          list.Add(index, run);
          return true;
        }));
  }
  if (json) {
    for (const EpisodeSummary& episode : list.episodes())
      out << EpisodeJson(episode).dump() << "\n";
    return absl::OkStatus();
  }
  TextTable rows = {{"shard", "actor", "environment", "episode", "segment", "address", "first row",
                     "rows", "planned", "return", "end"}};
  for (const EpisodeSummary& episode : list.episodes()) rows.push_back(EpisodeCells(episode));
  out << (rows.size() > 1 ? FormatTable(rows) : "  none\n");
  return absl::OkStatus();
}

absl::Status PrintRows(const ReplaySource& source, const replay::RowSelection& selection,
                       uint64_t limit, bool json, std::ostream& out) {
  uint64_t printed = 0;
  RowPrinter printer(json, out);
  const auto full = [&] { return limit > 0 && printed >= limit; };
  for (const auto& shard : source.shards()) {
    const uint32_t index = shard.reader->description().info().shard_index();
    POMPC_RETURN_IF_ERROR(
        shard.reader->Read(selection, [&](const replay::RowRun& run) -> absl::StatusOr<bool> {
          const uint32_t slots = run.rows.count + (run.rows.final_observation.empty() ? 0 : 1);
          for (uint32_t i = 0; i < slots && !full(); ++i) {
            printer.Add(index, run, i);
            ++printed;
          }
          return !full();
        }));
  }
  return absl::OkStatus();
}

}  // namespace pompc::cli
