#include "cli/sweep/plan.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/sweep/layers.h"
#include "common/base/check.h"
#include "common/config/run_config.h"
#include "common/config/task_specs.h"
#include "common/config/text_parser.h"
#include "common/io/files.h"
#include "common/values/numbers.h"

namespace pompc::cli {
namespace {

namespace fs = std::filesystem;

// A sweep file is a few kilobytes: a larger file is the wrong one.
constexpr size_t kMaxFileBytes = 1 << 20;

absl::Status CheckSweepName(const std::string& name) {
  const bool good = !name.empty() && name.size() <= 100 && name[0] != '.' &&
                    name.find_first_not_of(
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789._-") == std::string::npos;
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("name: \"", name, "\"; allowed: 1 to 100 letters, digits and . _ -, not ",
                   "beginning with a dot"));
}

absl::Status CheckBudget(const proto::SweepBudget& budget) {
  const int given = budget.has_frames() + budget.has_rows() + budget.has_minutes();
  if (given == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("budget: ", given, " of frames, rows and minutes are given; allowed: one"));
}

absl::Status CheckHalving(const proto::SweepHalving& halving, size_t seeds) {
  const auto& rounds = halving.seeds();
  const bool good = !rounds.empty() && rounds.Get(0) > 0 &&
                    std::is_sorted(rounds.begin(), rounds.end()) &&
                    std::adjacent_find(rounds.begin(), rounds.end()) == rounds.end() &&
                    rounds.Get(rounds.size() - 1) == seeds;
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("halving: seeds: allowed: numbers of seeds, ascending, from 1 to the ", seeds,
                   " that `seeds` lists, which is the last"));
}

absl::Status PinSettings(const proto::SweepHalving& halving,
                         std::vector<PlannedSetting>* settings) {
  settings->front().pinned = halving.pin_first();
  for (const std::string& name : halving.pin()) {
    const auto setting =
        std::find_if(settings->begin(), settings->end(),
                     [&name](const PlannedSetting& other) { return other.name == name; });
    if (setting == settings->end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "halving: pin: \"", name, "\" is no setting of the sweep; allowed: ",
          absl::StrJoin(*settings, ", ", [](std::string* out, const PlannedSetting& other) {
            absl::StrAppend(out, other.name);
          })));
    }
    setting->pinned = true;
  }
  return absl::OkStatus();
}

// The ranges of the tasks' scores.
absl::StatusOr<std::vector<ScoreRange>> ScoresOf(const proto::SweepConfig& sweep,
                                                 const std::vector<std::string>& tasks) {
  std::vector<ScoreRange> scores(tasks.size());
  for (const proto::SweepScore& score : sweep.score()) {
    const auto task = std::find(tasks.begin(), tasks.end(), score.task());
    if (task == tasks.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("score: \"", score.task(),
                       "\" is no task of the sweep; allowed: ", absl::StrJoin(tasks, ", ")));
    }
    if (!std::isfinite(score.zero()) || !std::isfinite(score.one()) ||
        score.zero() == score.one()) {
      return absl::InvalidArgumentError(
          absl::StrCat("score of ", score.task(), ": allowed: two finite numbers that differ"));
    }
    scores[task - tasks.begin()] = {score.zero(), score.one()};
  }
  return scores;
}

// Makes the trial's config end where the budget says.
void ApplyBudget(const proto::SweepBudget& budget, proto::RunConfig* config) {
  proto::StopConfig& stop = *config->mutable_stop();
  // A trial that ends at a goal would have fewer evaluations to compare.
  stop.set_return_mean(0);
  if (budget.has_minutes()) {
    stop.set_max_minutes(budget.minutes());
    stop.set_max_rows(0);
    return;
  }
  const uint64_t repeat = config->env().action_repeat();
  stop.set_max_rows(budget.has_rows() ? budget.rows() : (budget.frames() + repeat - 1) / repeat);
}

absl::StatusOr<proto::RunConfig> MakeConfig(const proto::SweepConfig& sweep,
                                            const LayeredSetting& setting,
                                            const std::optional<std::string>& task) {
  config::RunConfigSources sources = setting.sources;
  if (task.has_value()) sources.overrides.push_back(absl::StrCat("env.task=", *task));
  POMPC_ASSIGN_OR_RETURN(proto::RunConfig config, config::LoadRunConfig(sources));
  if (sweep.has_budget()) ApplyBudget(sweep.budget(), &config);
  POMPC_RETURN_IF_ERROR(config::Validate(config));
  POMPC_RETURN_IF_ERROR(config::FillEnvSpec(&config));
  // What follows from the others is checked as a run's start would.
  POMPC_RETURN_IF_ERROR(config::Derive(config).status());
  return config;
}

// The tasks that the text gives, each once; the base's where it gives none.
absl::StatusOr<std::vector<std::string>> TasksOf(const proto::SweepConfig& sweep,
                                                 const LayeredSetting& first) {
  std::vector<std::string> tasks(sweep.task().begin(), sweep.task().end());
  std::set<std::string> seen;
  for (const std::string& task : tasks) {
    if (task == config::kExternalTask) {
      return absl::InvalidArgumentError(
          "task: \"external\": its environment is a program of your own, which a sweep does not "
          "start; allowed: what `pompc tasks` lists");
    }
    POMPC_RETURN_IF_ERROR(Annotate(config::MakeEnvSpec(task, 1).status(), "task"));
    if (seen.insert(task).second) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("task: \"", task, "\" twice; allowed: each once"));
  }
  if (!tasks.empty()) return tasks;
  const absl::StatusOr<proto::RunConfig> config = MakeConfig(sweep, first, std::nullopt);
  if (!config.ok()) {
    return Annotate(config.status(), absl::StrCat("setting \"", first.name, "\""));
  }
  return std::vector<std::string>{config->env().task()};
}

absl::Status MakeTrials(const std::vector<LayeredSetting>& settings, SweepPlan* plan) {
  const size_t count = settings.size() * plan->tasks.size() * plan->seeds.size();
  if (count > kMostTrials) {
    return absl::InvalidArgumentError(
        absl::StrCat(count, " trials (", settings.size(), " settings, ", plan->tasks.size(),
                     " tasks, ", plan->seeds.size(), " seeds); allowed: at most ", kMostTrials));
  }
  std::vector<proto::RunConfig> configs;
  for (const std::string& task : plan->tasks) {
    for (const LayeredSetting& setting : settings) {
      absl::StatusOr<proto::RunConfig> config = MakeConfig(plan->sweep, setting, task);
      if (!config.ok()) {
        return Annotate(config.status(),
                        absl::StrCat("setting \"", setting.name, "\", task ", task));
      }
      configs.push_back(*std::move(config));
    }
  }
  for (size_t seed = 0; seed < plan->seeds.size(); ++seed) {
    size_t next = 0;
    for (size_t task = 0; task < plan->tasks.size(); ++task) {
      for (size_t setting = 0; setting < settings.size(); ++setting) {
        Trial trial = {.key = {settings[setting].name, plan->tasks[task], plan->seeds[seed]},
                       .setting = setting,
                       .task = task,
                       .seed = seed,
                       .config = configs[next++]};
        trial.config.set_seed(trial.key.seed);
        plan->trials.push_back(std::move(trial));
      }
    }
  }
  return absl::OkStatus();
}

void MakeAbsolute(const std::string& folder, proto::SweepLayer* layer) {
  for (std::string& file : *layer->mutable_file()) {
    file = fs::absolute(fs::path(folder) / file).lexically_normal().string();
  }
}

void MakePathsAbsolute(const std::string& folder, proto::SweepConfig* sweep) {
  MakeAbsolute(folder, sweep->mutable_base());
  for (proto::SweepLayer& setting : *sweep->mutable_setting()) MakeAbsolute(folder, &setting);
  for (proto::SweepAxis& axis : *sweep->mutable_axis()) {
    for (proto::SweepLayer& point : *axis.mutable_point()) MakeAbsolute(folder, &point);
  }
}

absl::StatusOr<SweepPlan> MakePlan(proto::SweepConfig sweep) {
  SweepPlan plan;
  plan.sweep = std::move(sweep);
  POMPC_RETURN_IF_ERROR(CheckSweepName(plan.sweep.name()));
  if (plan.sweep.has_budget()) POMPC_RETURN_IF_ERROR(CheckBudget(plan.sweep.budget()));
  absl::StatusOr<std::vector<uint64_t>> seeds = ParseSeeds(plan.sweep.seeds());
  if (!seeds.ok()) return Annotate(seeds.status(), "seeds");
  plan.seeds = *std::move(seeds);
  if (plan.sweep.has_halving()) {
    POMPC_RETURN_IF_ERROR(CheckHalving(plan.sweep.halving(), plan.seeds.size()));
  }
  POMPC_ASSIGN_OR_RETURN(const std::vector<LayeredSetting> settings, MakeSettings(plan.sweep));
  POMPC_ASSIGN_OR_RETURN(plan.tasks, TasksOf(plan.sweep, settings.front()));
  POMPC_ASSIGN_OR_RETURN(plan.scores, ScoresOf(plan.sweep, plan.tasks));
  for (const LayeredSetting& setting : settings) {
    plan.settings.push_back({setting.name, FlagsText(setting.sources)});
  }
  if (plan.sweep.has_halving()) {
    POMPC_RETURN_IF_ERROR(PinSettings(plan.sweep.halving(), &plan.settings));
  }
  POMPC_RETURN_IF_ERROR(MakeTrials(settings, &plan));
  return plan;
}

}  // namespace

std::string TrialKey::ToString() const {
  return absl::StrCat(setting, ", ", task, ", seed ", seed);
}

std::string TrialKey::Folder() const { return absl::StrCat(setting, "/", task, "/seed-", seed); }

double SweepPlan::Score(size_t task, double return_mean) const {
  return (return_mean - scores[task].zero) / (scores[task].one - scores[task].zero);
}

absl::StatusOr<std::vector<uint64_t>> ParseSeeds(absl::string_view text) {
  std::vector<uint64_t> seeds;
  std::set<uint64_t> seen;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, absl::MaxSplits('-', 1));
    POMPC_ASSIGN_OR_RETURN(const uint64_t first, ParseInteger<uint64_t>(ends[0]));
    uint64_t last = first;
    if (ends.size() == 2) {
      POMPC_ASSIGN_OR_RETURN(last, ParseInteger<uint64_t>(ends[1]));
    }
    if (last < first) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", part, "\"; allowed: ranges whose last seed is at least the first"));
    }
    if (last - first >= kMostTrials || seeds.size() + (last - first) >= kMostTrials) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", text, "\"; allowed: at most ", kMostTrials, " seeds"));
    }
    for (uint64_t seed = first; seed - first <= last - first; ++seed) {
      if (!seen.insert(seed).second) {
        return absl::InvalidArgumentError(
            absl::StrCat("\"", text, "\" has ", seed, " twice; allowed: each seed once"));
      }
      seeds.push_back(seed);
      if (seed == last) break;
    }
  }
  return seeds;
}

absl::StatusOr<SweepPlan> ReadSweepFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) return Annotate(text.status(), "sweep file");
  return ParseSweep(*text, path, fs::path(path).parent_path().string());
}

absl::StatusOr<SweepPlan> ParseSweep(const std::string& text, absl::string_view file,
                                     const std::string& folder) {
  POMPC_CHECK(!file.empty());
  proto::SweepConfig sweep;
  POMPC_RETURN_IF_ERROR(config::ParseSettings(text, file, &sweep));
  MakePathsAbsolute(folder, &sweep);
  absl::StatusOr<SweepPlan> plan = MakePlan(std::move(sweep));
  if (!plan.ok()) return Annotate(plan.status(), file);
  return plan;
}

size_t KeptOf(const proto::SweepHalving& halving, size_t count) {
  return std::min(
      count, static_cast<size_t>(std::ceil(halving.keep() * static_cast<double>(count) - 1e-9)));
}

size_t MostTrials(const SweepPlan& plan) {
  if (!plan.sweep.has_halving()) return plan.trials.size();
  const proto::SweepHalving& halving = plan.sweep.halving();
  const auto pinned = static_cast<size_t>(
      std::count_if(plan.settings.begin(), plan.settings.end(),
                    [](const PlannedSetting& setting) { return setting.pinned; }));
  size_t settings = plan.settings.size(), before = 0, total = 0;
  for (const uint32_t seeds : halving.seeds()) {
    total += settings * (seeds - before) * plan.tasks.size();
    before = seeds;
    // Pinned settings come on top where they are not among the best.
    settings = std::min(settings, KeptOf(halving, settings) + pinned);
  }
  return total;
}

}  // namespace pompc::cli
