#include "rundir/run_directory.h"

#include <filesystem>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/config/fields.h"
#include "common/config/run_config.h"
#include "common/config/text_parser.h"
#include "common/values/short_text.h"
#include "common/values/utf8.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "nlohmann/json.hpp"

namespace pompc::rundir {
namespace {

constexpr char kRunFile[] = "run.json";
constexpr char kConfigFile[] = "config.textproto";
constexpr char kLockFile[] = "lock";
constexpr char kReplayFolder[] = "replay";
constexpr char kEndFile[] = "ended.json";
constexpr char kLimitsFile[] = "limits.textproto";
constexpr char kAddressFile[] = "learner.json";

// The most bytes of the words for how a start ended.
constexpr size_t kMaxOutcome = 1000;

// Run ids sort by the time at which their runs began; the random part tells runs apart that began
// in the same second.
std::string NewRunId() {
  std::random_device random;
  return absl::StrCat(absl::FormatTime("%Y%m%d-%H%M%S", WallTime(), absl::UTCTimeZone()),
                      absl::StrFormat("-%08x", random()));
}

// Keeps the first error of a text, which would go to standard error otherwise.
class SilentErrors : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber /*column*/,
                const std::string& message) override {
    if (first.empty()) first = absl::StrCat("line ", line + 1, ": ", message);
  }

  std::string first;
};

struct Identity {
  std::string run_id;
  uint64_t incarnation = 0;
};

// Without its identity a run cannot be resumed: its checkpoints and rows name it.
absl::Status IdentityLost(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(
      path, " ", what,
      R"(; expected {"run_id": text, "learner_incarnation": count}: restore it (state.json of each)"
      " checkpoint names the run), or begin a new run in another folder"));
}

absl::StatusOr<Identity> ReadIdentity(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  // Only a file that was never written stands for a new run. One that is empty or cut off belongs
  // to a run whose rows and checkpoints would be refused under a new id.
  if (absl::IsNotFound(text.status())) return Identity{NewRunId(), 0};
  if (!text.ok()) return text.status();
  if (text->empty()) return IdentityLost(path, "is empty");
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, false);
  if (json.is_discarded()) return IdentityLost(path, "is no JSON, or was cut off");
  if (!json.is_object() || !json.contains("run_id") || !json["run_id"].is_string() ||
      !json.contains("learner_incarnation") || !json["learner_incarnation"].is_number_unsigned()) {
    return IdentityLost(path, "does not name a run");
  }
  return Identity{json["run_id"], json["learner_incarnation"]};
}

absl::Status WriteIdentity(const std::string& path, const Identity& identity) {
  const nlohmann::json json = {{"run_id", identity.run_id},
                               {"learner_incarnation", identity.incarnation}};
  return WriteFileAtomically(path, json.dump(2) + "\n");
}

absl::Status CheckIsRunOrEmpty(const std::string& path) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    // A first start that was killed may have left the lock and a half-written run.json.
    if (entry.path().filename() == kLockFile) continue;
    if (entry.path().filename() == absl::StrCat(kRunFile, kTemporarySuffix)) continue;
    // And its shards were opened before.
    if (entry.path().filename() == kReplayFolder) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not empty and no run directory: it has no ", kRunFile));
  }
  return absl::OkStatus();
}

// A run without config.textproto was killed in its first start: any config may begin it.
absl::Status CheckConfig(const std::string& path, const std::string& file,
                         const proto::RunConfig& config) {
  const absl::StatusOr<std::string> text = ReadFile(file);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  POMPC_ASSIGN_OR_RETURN(const proto::RunConfig before, config::ParseResolvedConfig(*text, file));
  return CheckSameRun(path, before, config);
}

// Describes the networks beside the world model's that these settings ask for. The numbers alpha
// and lambda may change over a run; what must not change is whether a network exists.
std::string Networks(const proto::PoMpcConfig& config) {
  const bool some = config.has_alpha() ? config.alpha() > 0 : config.lambda() > 0;
  const bool all = config.has_alpha() && config.alpha() == 1;
  const bool prior = some && config.prior() != proto::PoMpcConfig::REPLAY;
  const bool values = !all && config.policy_values() != proto::PoMpcConfig::PLAIN;
  return absl::StrCat(prior ? "a" : "no", " learned prior and ", values ? "" : "no ",
                      "KL-regularised values");
}

// Returns the environment of `before` as it is compared with `now`. A built-in task fills in
// env.spec, so a difference there would be blamed on a field that no user sets; the task or the
// action repeat, from which it follows, is named instead.
proto::EnvConfig EnvironmentBefore(proto::EnvConfig before, const proto::EnvConfig& now) {
  const bool other = before.task() != now.task() || before.action_repeat() != now.action_repeat();
  const bool given = before.task() == config::kExternalTask && now.task() == config::kExternalTask;
  if (other && !given) *before.mutable_spec() = now.spec();
  return before;
}

}  // namespace

std::string ConfigDifferences(const proto::RunConfig& before, const proto::RunConfig& now) {
  // The parameters are float32, whatever type the products are computed in.
  proto::ModelConfig model_before = before.model();
  model_before.set_matmul_dtype(now.model().matmul_dtype());
  std::vector<std::string> differences;
  const auto collect = [&](const google::protobuf::Message& was,
                           const google::protobuf::Message& is, const char* scope) {
    for (const config::FieldDifference& field : config::Differences(was, is, scope)) {
      differences.push_back(absl::StrCat(field.path, ": ", field.before, ", now ", field.now));
    }
  };
  collect(EnvironmentBefore(before.env(), now.env()), now.env(), "env");
  collect(model_before, now.model(), "model");
  const bool was_offline = before.schedule() == proto::RunConfig::OFFLINE;
  if (was_offline != (now.schedule() == proto::RunConfig::OFFLINE)) {
    differences.push_back(
        absl::StrCat("schedule: ", proto::RunConfig::Schedule_Name(before.schedule()), ", now ",
                     proto::RunConfig::Schedule_Name(now.schedule())));
  }
  const std::string was = Networks(before.po_mpc());
  const std::string is = Networks(now.po_mpc());
  if (was != is) {
    differences.push_back(absl::StrCat("po_mpc (alpha or lambda, prior, policy_values): ", was,
                                       ", now ", is));
  }
  return absl::StrJoin(differences, "; ");
}

absl::Status CheckSameRun(const std::string& path, const proto::RunConfig& before,
                          const proto::RunConfig& now) {
  const std::string differences = ConfigDifferences(before, now);
  if (differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the run in ", path, " was made with another environment or other networks: ", differences));
}

absl::StatusOr<std::unique_ptr<RunDirectory>> RunDirectory::Open(const std::string& path,
                                                                 const proto::RunConfig& config) {
  POMPC_RETURN_IF_ERROR(MakeFolders(path));
  const std::string run_file = absl::StrCat(path, "/", kRunFile);
  const std::string config_file = absl::StrCat(path, "/", kConfigFile);
  // The order matters: nothing is created in a folder that holds something else, nothing is read
  // before the lock is held, and the incarnation is counted last, after everything that can refuse
  // the start.
  std::error_code ignored;
  if (!std::filesystem::exists(run_file, ignored)) POMPC_RETURN_IF_ERROR(CheckIsRunOrEmpty(path));
  absl::StatusOr<FileLock> lock = FileLock::Take(absl::StrCat(path, "/", kLockFile));
  if (absl::IsAborted(lock.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat("another learner uses this run directory: ", lock.status().message()));
  }
  if (!lock.ok()) {
    return Annotate(lock.status(), absl::StrCat("the run directory ", path, " cannot be written"));
  }
  POMPC_RETURN_IF_ERROR(CheckConfig(path, config_file, config));
  POMPC_ASSIGN_OR_RETURN(Identity identity, ReadIdentity(run_file));
  // A start that fails from here on has used up its number. That costs nothing, whereas two starts
  // with the same number could be mistaken for each other.
  ++identity.incarnation;
  POMPC_RETURN_IF_ERROR(WriteIdentity(run_file, identity));
  return std::unique_ptr<RunDirectory>(
      new RunDirectory(path, identity.run_id, identity.incarnation, *std::move(lock)));
}

absl::Status RunDirectory::Check(const std::string& path, const proto::RunConfig& config) {
  std::error_code ignored;
  if (!std::filesystem::exists(absl::StrCat(path, "/", kRunFile), ignored)) {
    POMPC_RETURN_IF_ERROR(CheckIsRunOrEmpty(path));
  }
  return CheckConfig(path, absl::StrCat(path, "/", kConfigFile), config);
}

std::string ShardFolder(const std::string& run_dir, int shard) {
  return absl::StrCat(run_dir, "/", kReplayFolder, "/shard-", shard);
}

absl::Status RunDirectory::WriteConfigIfMissing(const proto::RunConfig& config) const {
  std::error_code unknown;
  if (std::filesystem::exists(File(kConfigFile), unknown)) return absl::OkStatus();
  return WriteConfig(config);
}

absl::Status RunDirectory::WriteEnd(const RunEnd& end) const {
  const nlohmann::json json = {{"start", learner_incarnation_},
                               {"outcome", ToUtf8(end.outcome)},
                               {"rows", end.rows},
                               {"updates", end.updates},
                               {"elapsed_seconds", end.elapsed_seconds}};
  return WriteFileAtomically(File(kEndFile), json.dump(2) + "\n");
}

absl::StatusOr<NewestStart> ReadNewestStart(const std::string& run_dir) {
  NewestStart newest;
  POMPC_ASSIGN_OR_RETURN(const Identity identity,
                         ReadIdentity(absl::StrCat(run_dir, "/", kRunFile)));
  newest.number = identity.incarnation;
  const std::string file = absl::StrCat(run_dir, "/", kEndFile);
  const absl::StatusOr<std::string> text = ReadFile(file);
  if (absl::IsNotFound(text.status())) return newest;
  if (!text.ok()) return text.status();
  try {
    const nlohmann::json json = nlohmann::json::parse(*text);
    // That of an earlier start stays until this one ends.
    if (json.at("start").get<uint64_t>() != newest.number) return newest;
    for (const char* count : {"rows", "updates"}) {
      // A conversion would make another number of -1 or 1.5.
      if (json.at(count).is_number_unsigned()) continue;
      return absl::DataLossError(absl::StrCat(file, ": \"", count, "\" is ", json[count].dump(),
                                              ", must be a whole number, 0 or more"));
    }
    // An error's words may hold anything that a peer or a file has said.
    const auto outcome = json.at("outcome").get<std::string>();
    newest.end = RunEnd{ShortText(outcome, kMaxOutcome), json.at("rows"), json.at("updates"),
                        json.at("elapsed_seconds")};
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(absl::StrCat(file, " cannot be read: ", error.what()));
  }
  return newest;
}

absl::StatusOr<proto::KeptLimits> ReadKeptLimits(const std::string& run_dir) {
  const std::string file = absl::StrCat(run_dir, "/", kLimitsFile);
  const absl::StatusOr<std::string> text = ReadFile(file);
  if (absl::IsNotFound(text.status())) return proto::KeptLimits();
  if (!text.ok()) return text.status();
  // What a newer version has added is not what this one would lose: it is written again whole.
  google::protobuf::TextFormat::Parser parser;
  SilentErrors errors;
  parser.RecordErrorsTo(&errors);
  proto::KeptLimits limits;
  if (parser.ParseFromString(*text, &limits) && limits.has_limits() && limits.has_config()) {
    return limits;
  }
  return absl::DataLossError(absl::StrCat(file, " cannot be read", errors.first.empty() ? "" : ": ",
                                          errors.first,
                                          "; delete it to go on with the limits of the config"));
}

absl::StatusOr<ServedRun> ReadServedRun(const std::string& run_dir) {
  POMPC_ASSIGN_OR_RETURN(const NewestStart start, ReadNewestStart(run_dir));
  if (start.number == 0) {
    return absl::NotFoundError(absl::StrCat(run_dir, ": no run here, ", kRunFile, " is missing"));
  }
  if (start.end.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the run in ", run_dir, " is not going on: ", start.end->outcome));
  }
  POMPC_ASSIGN_OR_RETURN(const Identity identity,
                         ReadIdentity(absl::StrCat(run_dir, "/", kRunFile)));
  const absl::StatusOr<std::string> text = ReadFile(absl::StrCat(run_dir, "/", kAddressFile));
  const nlohmann::json json = nlohmann::json::parse(text.value_or(""), nullptr, false);
  const auto of_this_start =
      json.is_object() && json.contains("start") && json["start"] == start.number;
  if (!of_this_start || !json.contains("address") || !json["address"].is_string()) {
    return absl::NotFoundError(
        absl::StrCat("start ", start.number, " of the run in ", run_dir,
                     " serves no address: `pompc train` does with --listen HOST:PORT"));
  }
  return ServedRun{identity.run_id, json["address"]};
}

absl::Status RunDirectory::WriteLimits(const proto::KeptLimits& limits) const {
  std::string text;
  POMPC_CHECK(google::protobuf::TextFormat::PrintToString(limits, &text));
  return WriteFileAtomically(File(kLimitsFile), text);
}

absl::Status RunDirectory::WriteAddress(const std::string& address) const {
  const nlohmann::json json = {{"start", learner_incarnation_}, {"address", address}};
  return WriteFileAtomically(File(kAddressFile), json.dump(2) + "\n");
}

absl::Status RunDirectory::WriteConfig(const proto::RunConfig& config) const {
  return WriteFileAtomically(File(kConfigFile), config::ToText(config));
}

}  // namespace pompc::rundir
