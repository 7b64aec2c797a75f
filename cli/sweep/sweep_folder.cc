#include "cli/sweep/sweep_folder.h"

#include <poll.h>

#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/config/fields.h"
#include "common/config/run_config.h"
#include "common/config/text_parser.h"
#include "google/protobuf/text_format.h"

namespace pompc::cli {
namespace {

// Differences that a message lists; the rest is counted.
constexpr size_t kShownDifferences = 4;
constexpr int kLookAttempts = 5;
constexpr int kLookPauseMs = 50;

std::string SweepFile(const std::string& path) { return path + "/sweep.textproto"; }
std::string StateFile(const std::string& path) { return path + "/state.textproto"; }
std::string StopFile(const std::string& path) { return path + "/stop"; }

std::string LockFile(const std::string& path) { return path + "/lock"; }

// Somebody who only looks whether the sweep is running holds the lock for a moment.
absl::StatusOr<FileLock> TakeLock(const std::string& path) {
  absl::StatusOr<FileLock> lock = FileLock::Take(path);
  for (int i = 0; i < kLookAttempts && absl::IsAborted(lock.status()); ++i) {
    poll(nullptr, 0, kLookPauseMs);
    lock = FileLock::Take(path);
  }
  return lock;
}

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

std::string DifferenceText(const std::vector<config::FieldDifference>& differences) {
  std::vector<std::string> texts;
  for (const config::FieldDifference& difference : differences) {
    if (texts.size() == kShownDifferences) {
      texts.push_back(absl::StrCat("and ", differences.size() - kShownDifferences, " more"));
      break;
    }
    texts.push_back(absl::StrCat(difference.path, ": ", difference.before, " before, ",
                                 difference.now, " now"));
  }
  return absl::StrJoin(texts, "; ");
}

}  // namespace

TrialKey KeyOf(const proto::TrialState& state) {
  return {state.setting(), state.task(), state.seed()};
}

proto::TrialState NewState(const TrialKey& key) {
  proto::TrialState state;
  state.set_setting(key.setting);
  state.set_task(key.task);
  state.set_seed(key.seed);
  return state;
}

absl::StatusOr<SweepFolder> SweepFolder::Open(const std::string& path) {
  if (!Exists(SweepFile(path))) {
    return absl::NotFoundError(absl::StrCat(path, ": no sweep here, sweep.textproto is missing"));
  }
  POMPC_ASSIGN_OR_RETURN(SweepPlan plan, ReadSweepFile(SweepFile(path)));
  SweepFolder folder(path, std::move(plan));
  POMPC_RETURN_IF_ERROR(folder.Load());
  return folder;
}

absl::StatusOr<SweepFolder> SweepFolder::Begin(const std::string& path, SweepPlan plan) {
  SweepFolder folder(path, std::move(plan));
  POMPC_RETURN_IF_ERROR(MakeFolders(path + "/trials"));
  POMPC_ASSIGN_OR_RETURN(folder.lock_, TakeLock(LockFile(path)));
  POMPC_RETURN_IF_ERROR(folder.Load());
  POMPC_RETURN_IF_ERROR(folder.CheckBegun());
  POMPC_RETURN_IF_ERROR(folder.KeepSweepFile());
  return folder;
}

absl::Status SweepFolder::KeepSweepFile() const {
  std::string text;
  POMPC_CHECK(google::protobuf::TextFormat::PrintToString(plan_.sweep, &text));
  // A file that says the same stays as somebody has written it, with its comments.
  const absl::StatusOr<SweepPlan> kept = ReadSweepFile(SweepFile(path_));
  if (kept.ok()) {
    std::string same;
    POMPC_CHECK(google::protobuf::TextFormat::PrintToString(kept->sweep, &same));
    if (same == text) return absl::OkStatus();
  }
  return WriteFileAtomically(SweepFile(path_), text);
}

absl::Status SweepFolder::Load() {
  POMPC_ASSIGN_OR_RETURN(results_, ReadResults(path_));
  results_.SortBy(plan_);
  const absl::StatusOr<std::string> text = ReadFile(StateFile(path_));
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  const absl::Status parsed = config::ParseSettings(*text, StateFile(path_), &state_);
  return parsed.ok() ? parsed : absl::DataLossError(parsed.message());
}

absl::Status SweepFolder::CheckBegun() const {
  for (const Trial& trial : plan_.trials) {
    const std::string advice =
        absl::StrCat("; give the setting another name, or remove ", path_, "/trials/",
                     trial.key.setting, " and its lines in results.csv to make its trials again");
    const absl::StatusOr<std::string> text = ReadFile(Config(trial.key));
    if (text.ok()) {
      POMPC_ASSIGN_OR_RETURN(const proto::RunConfig before,
                             config::ParseResolvedConfig(*text, Config(trial.key)));
      const auto differences = config::Differences(config::Resolve(before), trial.config, "");
      if (differences.empty()) continue;
      return absl::InvalidArgumentError(absl::StrCat("setting ", trial.key.ToString(),
                                                     " was begun with another config (",
                                                     DifferenceText(differences), ")", advice));
    }
    if (!absl::IsNotFound(text.status())) return text.status();
    // Results without run directories, which somebody has removed, tell the flags.
    const TrialResult* const result = results_.Find(trial.key);
    const std::string& now = plan_.settings[trial.setting].flags;
    if (result == nullptr || result->flags.empty() || result->flags == now) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("setting ", trial.key.ToString(), " has other flags than in results.csv (",
                     result->flags, " before, ", now, " now)", advice));
  }
  return absl::OkStatus();
}

std::string SweepFolder::RunDir(const TrialKey& key) const {
  return absl::StrCat(path_, "/trials/", key.Folder());
}

absl::Status SweepFolder::RequestStop() const { return WriteFileAtomically(StopFile(path_), ""); }
absl::Status SweepFolder::ClearStop() const { return RemoveAll(StopFile(path_)); }
bool SweepFolder::IsRunning() const {
  if (lock_.has_value()) return true;
  return absl::IsAborted(FileLock::Take(LockFile(path_)).status());
}

bool SweepFolder::StopRequested() const { return Exists(StopFile(path_)); }

proto::TrialState SweepFolder::State(const TrialKey& key) const {
  for (const proto::TrialState& state : state_.trial()) {
    if (KeyOf(state) == key) return state;
  }
  return NewState(key);
}

absl::Status SweepFolder::SetState(const proto::TrialState& state) {
  proto::TrialState* place = nullptr;
  for (proto::TrialState& one : *state_.mutable_trial()) {
    if (KeyOf(one) == KeyOf(state)) place = &one;
  }
  if (place == nullptr) place = state_.add_trial();
  *place = state;
  return WriteState();
}

absl::Status SweepFolder::WriteState() const {
  std::string text;
  POMPC_CHECK(google::protobuf::TextFormat::PrintToString(state_, &text));
  return WriteFileAtomically(StateFile(path_), text);
}

absl::Status SweepFolder::KeepConfig(const Trial& trial) const {
  POMPC_RETURN_IF_ERROR(
      MakeFolders(std::filesystem::path(RunDir(trial.key)).parent_path().string()));
  return WriteFileAtomically(Config(trial.key), config::ToText(trial.config));
}

absl::Status SweepFolder::Record(SweepResults trial) {
  for (TrialResult& result : trial.trials) {
    for (const PlannedSetting& setting : plan_.settings) {
      if (setting.name == result.key.setting) result.flags = setting.flags;
    }
  }
  results_.Replace(trial);
  results_.SortBy(plan_);
  POMPC_RETURN_IF_ERROR(WriteResults(path_, results_));
  for (int i = state_.trial_size(); i-- > 0;) {
    const bool done = !trial.trials.empty() && KeyOf(state_.trial(i)) == trial.trials[0].key;
    if (done) state_.mutable_trial()->DeleteSubrange(i, 1);
  }
  return WriteState();
}

std::vector<TrialOutcome> SweepFolder::Outcomes() const {
  std::map<TrialKey, TrialOutcome> known;
  for (const proto::TrialState& state : state_.trial()) {
    known[KeyOf(state)].failed = state.failures() > plan_.sweep.retries();
  }
  std::map<TrialKey, double> returns;
  for (const TrialResult& result : results_.trials) {
    returns[result.key] = result.Return(plan_.sweep.metric());
  }
  std::vector<TrialOutcome> outcomes;
  for (const Trial& trial : plan_.trials) {
    TrialOutcome outcome;
    if (const auto it = returns.find(trial.key); it != returns.end()) {
      outcome.score = plan_.Score(trial.task, it->second);
    } else if (const auto state = known.find(trial.key); state != known.end()) {
      outcome = state->second;
    }
    outcomes.push_back(outcome);
  }
  return outcomes;
}

}  // namespace pompc::cli
