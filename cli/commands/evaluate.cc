#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actor/core/evaluator.h"
#include "actor/core/stats.h"
#include "actor/environments.h"
#include "cli/checkpoint/checkpoint_file.h"
#include "cli/checkpoint/checkpoint_planner.h"
#include "cli/commands/command.h"
#include "cli/film/episode_film.h"
#include "cli/report/run_directory.h"
#include "common/base/check.h"
#include "common/process/log.h"
#include "common/values/text_table.h"
#include "run/control/statistics.h"

namespace pompc::cli {
namespace {

constexpr char kEvaluateExamples[] =
    "Examples:\n"
    "  pompc evaluate --run-dir runs/a                         the best checkpoint of a run\n"
    "  pompc evaluate --run-dir runs/a --episodes 30 --seed 7\n"
    "  pompc evaluate --checkpoint runs/a/checkpoints/update-000012000\n"
    "  pompc evaluate --run-dir runs/a --policy                its policy without planning\n"
    "  pompc evaluate --run-dir runs/a --set planner.method=CEM\n"
    "  pompc evaluate --run-dir runs/a --episodes 1 --video swingup.mp4\n"
    "Episodes start as --seed says and are planned without exploration noise, so the same command\n"
    "gives the same returns.";

struct EvaluateFlags {
  std::string run_dir;
  std::string checkpoint;
  std::vector<std::string> overrides;
  int episodes = 10;
  uint64_t seed = 1;
  std::string assets;
  std::string video;
  std::string video_size = "640x480";
  planner::TorchEngineOptions engine;
  std::string log_level = "warning";
  std::string log_format = "text";
};

absl::StatusOr<actor::EvaluationOutcome> Play(CheckpointPlanner* planner,
                                              const EvaluateFlags& flags, EpisodeFilm* film) {
  POMPC_ASSIGN_OR_RETURN(actor::EnvironmentFactory factory,
                         actor::FactoryForTask(planner->config().env(), flags.assets));
  // The evaluator counts as it does in a run; here nobody reads the counters.
  actor::ActorStats stats("evaluator", 1, Clock::Real(), std::make_shared<MetricsRegistry>());
  actor::EvaluatorOptions options;
  if (film != nullptr) {
    options.spectator = [film](env::FloatEnvironment& environment) {
      return film->Take(environment);
    };
  }
  actor::Evaluator evaluator(options, {.episodes = flags.episodes, .seed = flags.seed},
                             std::move(factory), planner, &stats, Clock::Real());
  return evaluator.Run();
}

// Returns null without --video.
absl::StatusOr<std::unique_ptr<EpisodeFilm>> MakeFilm(const EvaluateFlags& flags) {
  if (flags.video.empty()) return nullptr;
  POMPC_RETURN_IF_ERROR(Annotate(VideoFile::CheckEnding(flags.video), "--video"));
  absl::StatusOr<env::PictureSize> size = ParsePictureSize(flags.video_size);
  if (!size.ok()) return Annotate(size.status(), "--video-size");
  return EpisodeFilm::Make(flags.video, *size);
}

absl::Status Evaluate(const EvaluateFlags& flags) {
  POMPC_RETURN_IF_ERROR(
      SetUpLogging({.role = "", .level = flags.log_level, .format = flags.log_format}));
  // The film comes first, so that a missing ffmpeg or EGL is reported before a checkpoint is loaded
  // and an episode is played.
  POMPC_ASSIGN_OR_RETURN(const std::unique_ptr<EpisodeFilm> film, MakeFilm(flags));
  std::string checkpoint = flags.checkpoint;
  // A run directory holds checkpoints and is none itself. Taking one of them here would be a guess,
  // which --run-dir makes by a rule that is written down.
  if (!checkpoint.empty() && HoldsRun(checkpoint)) {
    return absl::InvalidArgumentError(absl::StrCat(
        checkpoint, " is a run directory: give it as --run-dir, or one of the folders in ",
        CheckpointsFolder(checkpoint), " as --checkpoint"));
  }
  if (checkpoint.empty()) {
    if (flags.run_dir.empty()) {
      return absl::InvalidArgumentError("give --run-dir DIR or --checkpoint DIR");
    }
    POMPC_ASSIGN_OR_RETURN(const rundir::RankedCheckpoint best, FindCheckpoint(flags.run_dir));
    checkpoint = best.folder;
  }
  POMPC_ASSIGN_OR_RETURN(const auto planner,
                         CheckpointPlanner::Load(checkpoint, flags.overrides, flags.engine));
  std::cout << checkpoint << ": " << planner->config().env().task() << " after "
            << FormatCount(planner->updates()) << " updates" << std::endl;
  POMPC_ASSIGN_OR_RETURN(const actor::EvaluationOutcome outcome,
                         Play(planner.get(), flags, film.get()));
  TextTable rows = {{"episode", "return", "decisions"}};
  for (size_t i = 0; i < outcome.returns.size(); ++i) {
    rows.push_back({absl::StrCat(i + 1), absl::StrFormat("%.1f", outcome.returns[i]),
                    absl::StrCat(outcome.decisions[i])});
  }
  const run::SampleStatistics summary = run::Summarize(outcome.returns);
  std::cout << FormatTable(rows) << "mean return " << FormatMean(summary.mean, summary.ci95)
            << (outcome.returns.size() > 1 ? " (95 % interval)" : " (one episode: no interval)")
            << std::endl;
  if (film != nullptr) {
    POMPC_ASSIGN_OR_RETURN(const std::string made, film->Close());
    std::cout << made << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace

Command AddEvaluate(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand(
      "evaluate",
      "Plays noise-free episodes with a checkpoint: planning, or with its policy alone.");
  command->footer(kEvaluateExamples);
  auto flags = std::make_shared<EvaluateFlags>();
  CLI::Option* run_dir =
      command->add_option("--run-dir", flags->run_dir, "a run's folder: its best checkpoint");
  run_dir->type_name("DIR");
  command->add_option("--checkpoint", flags->checkpoint, "folder of one checkpoint")
      ->type_name("DIR")
      ->excludes(run_dir);
  CLI::Option* set = command->add_option(
      "--set", flags->overrides,
      "changes a setting of the run's planner for these episodes; may be repeated");
  set->type_name("planner.FIELD=VALUE");
  rpc::AddInteger(*command, {"--episodes", "number of episodes to play", 1, 1000},
                  &flags->episodes);
  rpc::AddInteger(*command, {"--seed", "seed of the episodes' starts and plans"}, &flags->seed);
  command
      ->add_flag("--policy", flags->engine.policy_alone,
                 "act by the mean of the policy alone, without planning")
      ->excludes(set);
  AddAssets(*command, &flags->assets);
  CLI::Option* video = command->add_option(
      "--video", flags->video,
      "film the first episode into this file: .mp4, .mkv, .webm or .gif; needs EGL and ffmpeg");
  video->type_name("FILE");
  command->add_option("--video-size", flags->video_size, "WIDTHxHEIGHT of its pictures, in pixels")
      ->needs(video)
      ->capture_default_str();
  command->add_option("--device", flags->engine.device, "where to plan: cpu, cuda or cuda:N")
      ->capture_default_str();
  rpc::AddInteger(*command,
                  {"--threads", "number of CPU threads that plan (0: one per core)", 0, 1024},
                  &flags->engine.threads);
  command
      ->add_option("--log-level", flags->log_level,
                   "trace, debug, info, warning, error, critical or off")
      ->capture_default_str();
  command->add_option("--log-format", flags->log_format, "text, or json: one object a line")
      ->envname("POMPC_LOG_FORMAT")
      ->capture_default_str();
  return {command, [flags] { return Evaluate(*flags); }};
}

}  // namespace pompc::cli
