#include "learner/checkpoint.h"

#include <stdexcept>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/io/files.h"
#include "common/process/log.h"
#include "nlohmann/json.hpp"

namespace pompc::learner {
namespace {

using Json = nlohmann::json;

constexpr char kStateFile[] = "state.json";
// It is raised when a change makes older checkpoints unreadable.
constexpr int kFormat = 1;

std::invalid_argument Invalid(const char* name, const Json& value, const char* rule) {
  return std::invalid_argument(absl::StrCat("\"", name, "\" is ", value.dump(), ": ", rule));
}

Json ToJson(const run::RowCounter::State& rows) {
  Json incarnations = Json::array();
  for (const run::RowCounter::Incarnation& entry : rows.incarnations) {
    incarnations.push_back({{"id", entry.id}, {"rows", entry.rows}});
  }
  return {{"past_rows", rows.past_rows}, {"shard_incarnations", incarnations}};
}

// A counter. The JSON library would turn -1 into 2^64 - 1 and 1.5 into 1, and the run would
// continue from there.
uint64_t Count(const Json& json, const char* name) {
  const Json& value = json.at(name);
  if (value.is_number_unsigned()) return value;
  throw Invalid(name, value, "must be a whole number, 0 or more");
}

double Seconds(const Json& json, const char* name) {
  const Json& value = json.at(name);
  if (value.is_number() && value.get<double>() >= 0) return value;
  throw Invalid(name, value, "must be a number, 0 or more");
}

run::RowCounter::State RowsFromJson(const Json& json) {
  run::RowCounter::State rows;
  rows.past_rows = Count(json, "past_rows");
  for (const Json& entry : json.at("shard_incarnations")) {
    rows.incarnations.push_back({Count(entry, "id"), Count(entry, "rows")});
  }
  return rows;
}

run::RunProgressState::Line LineFromJson(const Json& json) {
  run::RunProgressState::Line line;
  line.since = {Count(json, "rows"), Count(json, "updates")};
  const Json& utd = json.at("utd");
  if (!utd.is_number() || !(utd.get<double>() > 0)) {
    throw Invalid("utd", utd, "must be a number above 0");
  }
  line.utd = utd;
  return line;
}

// Throws std::exception for what is missing, of another type or out of its range.
CheckpointInfo FromJson(const Json& json) {
  CheckpointInfo info;
  info.run_id = json.at("run_id");
  info.learner_incarnation = Count(json, "learner_incarnation");
  info.progress.updates = Count(json, "updates");
  info.progress.episodes = Count(json, "episodes");
  info.progress.seed_closed = json.at("seed_phase_closed");
  info.progress.elapsed_seconds = Seconds(json, "elapsed_seconds");
  info.progress.rows = RowsFromJson(json.at("rows"));
  if (json.contains("ratio")) info.progress.line = LineFromJson(json.at("ratio"));
  info.config = json.at("config");
  info.written_at = json.value("written_at", "");
  return info;
}

absl::Status FormatError(const std::string& path, const Json& format) {
  const bool newer = format.is_number_integer() && format.get<int64_t>() > kFormat;
  return absl::FailedPreconditionError(absl::StrCat(
      path, " has format ", format.dump(), ", this pompc reads ", kFormat, ": it was written by ",
      newer ? "a newer" : "another",
      " version; go on with that one, or carry the numbers over: `pompc checkpoint export` there,"
      " `pompc checkpoint import` here"));
}

// Brings the engine to one checkpoint. What can be checked without the engine is checked before it
// is touched: checksums, the run it belongs to.
absl::StatusOr<CheckpointInfo> Restore(const rundir::CheckpointStore& store, uint64_t updates,
                                       const std::string& run_id, Engine* engine) {
  const std::string folder = store.Path(updates);
  POMPC_RETURN_IF_ERROR(store.Verify(updates));
  POMPC_ASSIGN_OR_RETURN(CheckpointInfo info, ReadCheckpointInfo(folder));
  if (info.run_id != run_id) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder, " belongs to run ", info.run_id, ", not to ", run_id));
  }
  POMPC_RETURN_IF_ERROR(Annotate(engine->Import(folder), folder));
  if (engine->update_count() != info.progress.updates) {
    return absl::DataLossError(absl::StrCat(folder, ": ", kStateFile, " is of update ",
                                            info.progress.updates, ", the parameters of ",
                                            engine->update_count()));
  }
  return info;
}

}  // namespace

absl::Status WriteCheckpoint(const std::string& folder, const Checkpoint& checkpoint) {
  POMPC_CHECK(checkpoint.engine != nullptr);
  const run::RunProgressState& progress = checkpoint.info.progress;
  Json json = {
      {"format", kFormat},
      {"run_id", checkpoint.info.run_id},
      {"learner_incarnation", checkpoint.info.learner_incarnation},
      {"updates", progress.updates},
      {"episodes", progress.episodes},
      {"seed_phase_closed", progress.seed_closed},
      {"elapsed_seconds", progress.elapsed_seconds},
      {"rows", ToJson(progress.rows)},
      {"config", checkpoint.info.config},
      {"written_at", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", WallTime(), absl::UTCTimeZone())}};
  if (progress.line.has_value()) {
    json["ratio"] = {{"rows", progress.line->since.rows},
                     {"updates", progress.line->since.updates},
                     {"utd", progress.line->utd}};
  }
  POMPC_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(folder, "/", kStateFile), json.dump(2) + "\n"));
  return checkpoint.engine->Write(folder);
}

absl::StatusOr<CheckpointInfo> ReadCheckpointInfo(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kStateFile);
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return absl::DataLossError(text.status().message());
  try {
    const Json json = Json::parse(*text);
    if (json.at("format") != kFormat) {
      return FormatError(path, json.at("format"));
    }
    return FromJson(json);
  } catch (const std::exception& error) {
    return absl::DataLossError(absl::StrCat(path, ": ", error.what()));
  }
}

absl::StatusOr<std::optional<CheckpointInfo>> RestoreNewest(rundir::CheckpointStore* store,
                                                            const std::string& run_id,
                                                            Engine* engine) {
  POMPC_ASSIGN_OR_RETURN(std::vector<uint64_t> all, store->List());
  if (all.empty()) return std::optional<CheckpointInfo>();
  // Older numbers are checked as well: the newest checkpoint may have been renamed to one.
  for (const uint64_t updates : all) POMPC_RETURN_IF_ERROR(store->CheckName(updates));
  // From the newest to older ones, past those whose bytes are damaged: a torn disk must not cost
  // the run. Any other error ends the search, because an older checkpoint of a run with other
  // settings would be refused for the same reason, and one of another run must not be passed over
  // in silence.
  std::vector<uint64_t> unreadable;
  absl::Status first_error;
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    absl::StatusOr<CheckpointInfo> info = Restore(*store, *it, run_id, engine);
    if (info.ok()) {
      // Set aside, not deleted: updates are made again from here, and would be written to the same
      // names.
      for (uint64_t updates : unreadable) POMPC_RETURN_IF_ERROR(store->SetAside(updates));
      return std::optional<CheckpointInfo>(*std::move(info));
    }
    if (info.status().code() != absl::StatusCode::kDataLoss) return info.status();
    Log().warn("checkpoint {} cannot be read: {}", *it, info.status().ToString());
    unreadable.push_back(*it);
    first_error.Update(info.status());
  }
  return absl::DataLossError(absl::StrCat(
      "none of the ", all.size(), " checkpoints can be read; the newest: ", first_error.message()));
}

}  // namespace pompc::learner
