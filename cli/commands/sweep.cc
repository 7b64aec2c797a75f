// pompc sweep: many runs that are compared.
#include <cmath>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actor/environments.h"
#include "cli/commands/command.h"
#include "cli/sweep/engines.h"
#include "cli/sweep/kept_process.h"
#include "cli/sweep/plan.h"
#include "cli/sweep/report.h"
#include "cli/sweep/runner.h"
#include "cli/sweep/status.h"
#include "cli/sweep/sweep_folder.h"
#include "common/base/check.h"
#include "common/process/log.h"
#include "common/process/signals.h"
#include "common/rpc/endpoint.h"
#include "common/values/numbers.h"
#include "common/values/text_table.h"
#include "learner/status/published_curves.h"

namespace pompc::cli {
namespace {

constexpr char kSweepExamples[] =
    "Examples:\n"
    "  pompc sweep check presets/sweeps/lambda.textproto        its trials, before any is made\n"
    "  pompc sweep run presets/sweeps/lambda.textproto --jobs 2 into runs/sweeps/lambda\n"
    "  pompc sweep status runs/sweeps/lambda\n"
    "  pompc sweep stop runs/sweeps/lambda                      ends it with checkpoints\n"
    "  pompc sweep resume runs/sweeps/lambda --jobs 2           what is finished is kept\n"
    "  pompc sweep report runs/sweeps/lambda --threshold 500\n"
    "A sweep file:\n"
    "  name: \"lambda\"\n"
    "  base { preset: \"quickstart\" set: \"schedule=LOCKSTEP\" }\n"
    "  axis { field: \"po_mpc.lambda\" value: \"0\" value: \"0.1\" value: \"1\" }\n"
    "  task: \"cartpole-swingup\" task: \"reacher-easy\"\n"
    "  seeds: \"1-3\"\n"
    "  budget { frames: 40000 }\n"
    "docs/sweeps.md explains every part of it.";

struct SweepFlags {
  std::string file, folder, program, assets, out;
  // The device of all trials, and the flags about processes that plan for them.
  std::string device = "cpu";
  std::string planners, listen, certificates, planner_program;
  bool insecure = false;
  bool shared_planner = false;
  int plan_threads = 0;
  // Actors of a fleet step the environments; so many of them are started with the sweep.
  bool fleet = false;
  int actors = 0, actor_environments = 1;
  std::string image = "pompc-pompc:latest";
  int jobs = 1;
  int nice = 0;
  std::vector<std::string> thresholds;
  size_t repetitions = 2000;
};

// Fails as a trial's start would if this machine cannot step one of the tasks.
absl::Status CheckTasks(const SweepPlan& plan, const std::string& assets) {
  // The trials of the first setting and seed: one for each task.
  for (const Trial& trial : plan.trials) {
    if (trial.setting != 0 || trial.seed != 0) continue;
    POMPC_RETURN_IF_ERROR(
        Annotate(actor::FactoryForTask(trial.config.env(), assets).status(), trial.key.task));
  }
  return absl::OkStatus();
}

std::string CountsText(const SweepPlan& plan) {
  return absl::StrCat(plan.settings.size(), " settings x ", plan.tasks.size(), " tasks x ",
                      plan.seeds.size(), " seeds: ", plan.sweep.has_halving() ? "at most " : "",
                      MostTrials(plan), " trials");
}

std::string FolderOf(const SweepPlan& plan, const SweepFlags& flags) {
  return flags.folder.empty() ? absl::StrCat("runs/sweeps/", plan.sweep.name()) : flags.folder;
}

absl::Status Check(const SweepFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(const SweepPlan plan, ReadSweepFile(flags.file));
  POMPC_RETURN_IF_ERROR(CheckTasks(plan, flags.assets));
  TextTable settings = {{"setting", "flags of pompc train"}};
  for (const PlannedSetting& setting : plan.settings) {
    settings.push_back({setting.name, setting.flags});
  }
  TextTable trials = {{"trial", "setting", "task", "seed", "rows", "frames", "schedule"}};
  for (size_t i = 0; i < plan.trials.size(); ++i) {
    const Trial& trial = plan.trials[i];
    const uint64_t rows = trial.config.stop().max_rows();
    trials.push_back({absl::StrCat(i + 1), trial.key.setting, trial.key.task,
                      absl::StrCat(trial.key.seed), FormatCount(rows),
                      FormatCount(rows * trial.config.env().action_repeat()),
                      proto::RunConfig::Schedule_Name(trial.config.schedule())});
  }
  std::cout << FormatTable(settings) << "\n"
            << FormatTable(trials) << "\n"
            << CountsText(plan) << "\n";
  const absl::StatusOr<SweepFolder> folder = SweepFolder::Open(FolderOf(plan, flags));
  SweepEstimate estimate = {.left = MostTrials(plan), .seconds_per_trial = NAN};
  if (folder.ok()) estimate = ReadStatus(*folder, folder->IsRunning()).estimate;
  std::cout << EstimateText(estimate, flags.jobs) << std::endl;
  return absl::OkStatus();
}

// The program that is running now, unless --program names another one.
absl::StatusOr<std::string> ProgramOf(const SweepFlags& flags) {
  if (!flags.program.empty()) return flags.program;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) return self.string();
  return absl::UnavailableError(
      absl::StrCat("/proc/self/exe: ", error.message(), "; name this program with --program"));
}

// The flags of `train` that all trials have, wherever they run.
std::vector<std::string> TrainFlags(const SweepFlags& flags) {
  std::vector<std::string> more;
  if (!flags.assets.empty()) more = {"--assets", flags.assets};
  if (flags.device != "cpu") more.insert(more.end(), {"--device", flags.device});
  return more;
}

// The flags by which trials have their plans of planners of other processes; none where they plan
// by themselves.
std::vector<std::string> OtherPlannersFlags(const SweepFlags& flags) {
  if (flags.planners.empty()) return {};
  std::vector<std::string> more = {"--planners", flags.planners};
  if (!flags.listen.empty()) more.insert(more.end(), {"--listen", flags.listen});
  if (!flags.certificates.empty()) more.insert(more.end(), {"--certificates", flags.certificates});
  if (flags.insecure) more.push_back("--insecure");
  return more;
}

// Refuses flags that contradict each other before anything starts.
absl::Status CheckPlannerFlags(const SweepFlags& flags) {
  if (!flags.shared_planner && (flags.plan_threads != 0 || !flags.planner_program.empty())) {
    return absl::InvalidArgumentError(
        "--plan-threads, --planner-program: allowed with --shared-planner, which is missing");
  }
  if (flags.planners.empty()) {
    if (flags.listen.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError("--listen: allowed with --planners, which is missing");
  }
  if (flags.shared_planner) {
    return absl::InvalidArgumentError(
        "--shared-planner starts a planner, --planners names those that are there: allowed is one "
        "of the two");
  }
  POMPC_RETURN_IF_ERROR(rpc::ParseEndpoints("--planners", flags.planners).status());
  if (flags.listen.empty() || absl::EndsWith(flags.listen, ":0")) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--listen: ", flags.listen, "; allowed is HOST:0, as each trial takes a port of its own"));
}

// Refuses flags about the actors of a fleet that contradict others or the trials.
absl::Status CheckFleetFlags(const SweepFlags& flags, const SweepPlan& plan) {
  if (!flags.fleet && flags.actors == 0) return absl::OkStatus();
  if (!flags.shared_planner && flags.planners.empty()) {
    return absl::InvalidArgumentError(
        "--actors, --fleet: actors find trials at the planners of all trials; give "
        "--shared-planner or --planners");
  }
  for (const Trial& trial : plan.trials) {
    if (trial.config.schedule() == proto::RunConfig::CONCURRENT) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--actors, --fleet: the schedule of ", trial.key.ToString(), " is ",
                     proto::RunConfig::Schedule_Name(trial.config.schedule()),
                     ", in which no other process steps environments; allowed is CONCURRENT"));
  }
  return absl::OkStatus();
}

// A program of the same installation as that of the trials.
std::string Beside(const RunnerOptions& options, const std::string& name) {
  return (std::filesystem::path(options.program).parent_path() / name).string();
}

// Starts the processes that work for all trials, and names them in `options`.
absl::Status StartProcesses(const SweepFlags& flags, const std::string& folder,
                            RunnerOptions* options, SweepProcesses* processes) {
  std::string planners = flags.planners;
  if (flags.shared_planner) {
    POMPC_RETURN_IF_ERROR(StartSharedPlanner(
        {.program = flags.planner_program.empty() ? Beside(*options, "pompc-planner")
                                                  : flags.planner_program,
         .log = folder + "/planner.log",
         .trials = flags.jobs,
         .threads = flags.plan_threads,
         .device = flags.device,
         .nice = flags.nice},
        processes));
    planners = processes->planner_address;
    options->flags.insert(options->flags.end(), {"--planners", planners});
  }
  if (flags.fleet || flags.actors > 0) options->flags.push_back("--fleet");
  if (flags.actors > 0) {
    std::vector<std::string> more;
    if (!flags.assets.empty()) more = {"--assets", flags.assets};
    if (!flags.certificates.empty()) {
      more.insert(more.end(), {"--certificates", flags.certificates});
    }
    POMPC_RETURN_IF_ERROR(StartFleetActors({.program = Beside(*options, "pompc-actor"),
                                            .folder = folder,
                                            .planners = planners,
                                            .flags = std::move(more),
                                            .actors = flags.actors,
                                            .environments = flags.actor_environments,
                                            .nice = flags.nice},
                                           processes));
  }
  options->kept = processes->all();
  return absl::OkStatus();
}

absl::Status RunPlan(SweepPlan plan, const std::string& path, const SweepFlags& flags) {
  POMPC_RETURN_IF_ERROR(SetUpLogging({.role = "", .level = "warning"}));
  POMPC_RETURN_IF_ERROR(CheckPlannerFlags(flags));
  POMPC_RETURN_IF_ERROR(CheckFleetFlags(flags, plan));
  POMPC_RETURN_IF_ERROR(CheckTasks(plan, flags.assets));
  RunnerOptions options = {
      .jobs = flags.jobs, .nice = flags.nice, .flags = TrainFlags(flags), .out = &std::cout};
  POMPC_ASSIGN_OR_RETURN(options.program, ProgramOf(flags));
  for (const std::string& flag : OtherPlannersFlags(flags)) options.flags.push_back(flag);
  std::cout << CountsText(plan) << "; folder " << path << ", page " << path << "/status.html\n";
  POMPC_ASSIGN_OR_RETURN(SweepFolder folder, SweepFolder::Begin(path, std::move(plan)));
  std::cout << EstimateText(ReadStatus(folder, true).estimate, flags.jobs) << std::endl;
  SweepProcesses processes;
  POMPC_RETURN_IF_ERROR(StartProcesses(flags, path, &options, &processes));
  POMPC_ASSIGN_OR_RETURN(const RunnerEnd end, RunTrials(options, &folder));
  const ProcessEnd planner = processes.Stop();
  if (flags.shared_planner) {
    std::cout << "the planner used "
              << absl::StrFormat("%.0f", planner.peak_memory_bytes / double{1 << 20})
              << " MiB at most" << std::endl;
  }
  if (!end.stopped_by.empty()) {
    std::cout << "resume with: pompc sweep resume " << path << std::endl;
    return absl::OkStatus();
  }
  if (end.failed > 0) {
    return absl::AbortedError(absl::StrCat(end.failed, " trials have failed; pompc sweep status ",
                                           path, " shows why, and resume tries them again"));
  }
  std::cout << "all trials are finished; pompc sweep report " << path << " sums them up"
            << std::endl;
  return absl::OkStatus();
}

absl::Status Run(const SweepFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(SweepPlan plan, ReadSweepFile(flags.file));
  const std::string path = FolderOf(plan, flags);
  return RunPlan(std::move(plan), path, flags);
}

absl::Status Resume(const SweepFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(const SweepFolder folder, SweepFolder::Open(flags.folder));
  return RunPlan(folder.plan(), flags.folder, flags);
}

absl::Status WriteFor(const SweepEngine& engine, const SweepFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(SweepPlan plan, ReadSweepFile(flags.file));
  EngineOptions options = {.image = flags.image, .flags = TrainFlags(flags), .jobs = flags.jobs};
  if (!engine.containers) {
    POMPC_RETURN_IF_ERROR(CheckTasks(plan, flags.assets));
    POMPC_ASSIGN_OR_RETURN(options.program, ProgramOf(flags));
  }
  const std::string path = FolderOf(plan, flags);
  POMPC_ASSIGN_OR_RETURN(const SweepFolder folder, SweepFolder::Begin(path, std::move(plan)));
  POMPC_ASSIGN_OR_RETURN(const std::string advice, WriteEngine(folder, engine, options));
  std::cout << advice << std::endl;
  return absl::OkStatus();
}

absl::Status Collect(const SweepFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(const SweepFolder before, SweepFolder::Open(flags.folder));
  POMPC_ASSIGN_OR_RETURN(SweepFolder folder, SweepFolder::Begin(flags.folder, before.plan()));
  POMPC_ASSIGN_OR_RETURN(const size_t recorded, RecordFinished(&folder));
  std::cout << recorded << " trials more are finished; "
            << EstimateText(ReadStatus(folder, false).estimate, flags.jobs) << std::endl;
  return absl::OkStatus();
}

absl::Status ShowStatus(const SweepFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(const SweepFolder folder, SweepFolder::Open(flags.folder));
  const SweepStatus status = ReadStatus(folder, folder.IsRunning());
  std::cout << StatusText(status) << "\n"
            << (status.running ? "" : "the sweep is not running; ")
            << EstimateText(status.estimate, flags.jobs) << std::endl;
  return absl::OkStatus();
}

absl::Status Stop(const SweepFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(const SweepFolder folder, SweepFolder::Open(flags.folder));
  if (!folder.IsRunning()) {
    return absl::FailedPreconditionError(
        absl::StrCat(flags.folder, ": no process runs this sweep"));
  }
  POMPC_RETURN_IF_ERROR(folder.RequestStop());
  std::cout << flags.folder << ": its trials end with checkpoints, then it ends" << std::endl;
  return absl::OkStatus();
}

absl::Status Report(const SweepFlags& flags) {
  ReportOptions options = {.repetitions = flags.repetitions,
                           .published_dir = learner::DefaultPublishedDir()};
  for (const std::string& text : flags.thresholds) {
    const std::optional<double> threshold = ParseNumber(text);
    if (!threshold.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--threshold: \"", text, "\"; allowed: a number"));
    }
    options.thresholds.push_back(*threshold);
  }
  POMPC_ASSIGN_OR_RETURN(const ReportData data, ReadReportData(flags.folder));
  const SweepReport report = MakeReport(data, options);
  std::error_code error;
  const bool is_table = std::filesystem::is_regular_file(flags.folder, error);
  if (flags.out.empty() && is_table) {
    // A table somewhere has no folder of its own.
    std::cout << report.markdown;
    return absl::OkStatus();
  }
  const std::string out = flags.out.empty() ? flags.folder + "/report" : flags.out;
  POMPC_RETURN_IF_ERROR(WriteReport(report, out));
  std::cout << report.markdown << out << "/report.html" << std::endl;
  return absl::OkStatus();
}

void AddFile(CLI::App* command, SweepFlags* flags) {
  command->add_option("FILE", flags->file, "the sweep file (docs/sweeps.md)")->required();
}

void AddFolder(CLI::App* command, SweepFlags* flags, const std::string& help) {
  command->add_option("DIR", flags->folder, help)->required();
}

void AddDir(CLI::App* command, SweepFlags* flags) {
  command->add_option("--dir", flags->folder, "the sweep's folder; default runs/sweeps/NAME")
      ->type_name("DIR");
}

void AddJobs(CLI::App* command, SweepFlags* flags) {
  rpc::AddInteger(*command, {"--jobs", "trials at a time, each on a core of its own", 1, 1024},
                  &flags->jobs);
}

void AddNice(CLI::App* command, SweepFlags* flags) {
  rpc::AddInteger(*command, {"--nice", "what is added to the niceness of trials", 0, 19},
                  &flags->nice);
}

void AddRunning(CLI::App* command, SweepFlags* flags) {
  AddJobs(command, flags);
  AddAssets(*command, &flags->assets);
  command->add_option("--device", flags->device, "where trials compute: cpu, cuda or cuda:N")
      ->capture_default_str();
  command
      ->add_option("--program", flags->program,
                   "the program whose command train makes a trial; default: this one")
      ->type_name("PROGRAM");
}

void AddPlannerFlags(CLI::App* command, SweepFlags* flags) {
  command->add_flag("--shared-planner", flags->shared_planner,
                    "start one planner process, which plans for all trials, and end it with them");
  rpc::AddInteger(
      *command,
      {"--plan-threads", "with --shared-planner: its threads that plan, 0: one a core", 0, 1024},
      &flags->plan_threads);
  command
      ->add_option("--planner-program", flags->planner_program,
                   "with --shared-planner: pompc-planner; default: the one beside --program")
      ->type_name("PROGRAM");
  command
      ->add_option("--planners", flags->planners,
                   "planners that are there, started with --accept-runs, plan for all trials")
      ->type_name("HOST:PORT,...");
  rpc::AddInteger(*command,
                  {"--actors",
                   "actor processes to start with the sweep, which step the environments of all "
                   "trials, divided among them by need; 0: each trial has an actor of its own",
                   0, 1024},
                  &flags->actors);
  rpc::AddInteger(*command,
                  {"--actor-environments", "with --actors: environments of each", 1, 4096},
                  &flags->actor_environments);
  command->add_flag("--fleet", flags->fleet,
                    "with --planners: actors that are there, started with pompc-actor --fleet, "
                    "step the environments of all trials");
  command
      ->add_option("--listen", flags->listen,
                   "with --planners: where they reach the trials' learners; default 127.0.0.1:0")
      ->type_name("HOST:0");
  rpc::AddCertificatesFlag(*command, &flags->certificates);
  command->add_flag("--insecure", flags->insecure,
                    "with --planners: allow --listen beyond this machine without --certificates");
}

struct Action {
  CLI::App* flags;
  std::function<absl::Status(const SweepFlags&)> run;
  bool blocks_signals = false;
};

// The command that writes the objects of an engine.
Action AddEngine(CLI::App& sweep, const SweepEngine& engine, SweepFlags* flags) {
  CLI::App* command = sweep.add_subcommand(engine.name, engine.help);
  AddFile(command, flags);
  AddDir(command, flags);
  AddRunning(command, flags);
  if (engine.containers) {
    command->add_option("--image", flags->image, "the image with pompc that makes the trials")
        ->type_name("IMAGE")
        ->capture_default_str();
  }
  return {command, [&engine](const SweepFlags& given) { return WriteFor(engine, given); }};
}

std::vector<Action> AddActions(CLI::App& sweep, SweepFlags* flags) {
  CLI::App* check =
      sweep.add_subcommand("check", "makes every config of a sweep file and prints its trials");
  AddFile(check, flags);
  AddDir(check, flags);
  AddJobs(check, flags);
  AddAssets(*check, &flags->assets);
  CLI::App* run = sweep.add_subcommand("run", "makes the trials of a sweep file that are missing");
  AddFile(run, flags);
  AddDir(run, flags);
  AddRunning(run, flags);
  AddPlannerFlags(run, flags);
  AddNice(run, flags);
  CLI::App* resume = sweep.add_subcommand("resume", "goes on with the sweep in a folder");
  AddFolder(resume, flags, "the sweep's folder");
  AddRunning(resume, flags);
  AddPlannerFlags(resume, flags);
  AddNice(resume, flags);
  CLI::App* status = sweep.add_subcommand("status", "shows how far each trial is, and failures");
  AddFolder(status, flags, "the sweep's folder");
  AddJobs(status, flags);
  CLI::App* stop =
      sweep.add_subcommand("stop", "ends a running sweep, its trials with checkpoints");
  AddFolder(stop, flags, "the sweep's folder");
  CLI::App* report = sweep.add_subcommand("report", "makes tables and pictures of finished trials");
  AddFolder(report, flags, "the sweep's folder, or a table like its results.csv");
  report->add_option("--out", flags->out, "folder of the report; default DIR/report")
      ->type_name("DIR");
  report
      ->add_option("--threshold", flags->thresholds,
                   "a return of which it says how soon it was reached; may be repeated; default: "
                   "the scores 0.5 and 0.8")
      ->type_name("R");
  rpc::AddInteger(*report, {"--repetitions", "draws of the bootstrap", 100, 1'000'000},
                  &flags->repetitions);
  std::vector<Action> actions = {{check, Check},       {run, Run, true}, {resume, Resume, true},
                                 {status, ShowStatus}, {stop, Stop},     {report, Report}};
  for (const SweepEngine& engine : SweepEngines()) {
    actions.push_back(AddEngine(sweep, engine, flags));
  }
  CLI::App* collect =
      sweep.add_subcommand("collect", "keeps what came of trials that another engine has finished");
  AddFolder(collect, flags, "the sweep's folder");
  AddJobs(collect, flags);
  actions.push_back({collect, Collect});
  return actions;
}

}  // namespace

Command AddSweep(CLI::App& pompc) {
  CLI::App* command =
      pompc.add_subcommand("sweep", "Makes many runs of a file, and sums up what came of them.");
  command->footer(kSweepExamples);
  command->require_subcommand(1);
  auto flags = std::make_shared<SweepFlags>();
  const std::vector<Action> actions = AddActions(*command, flags.get());
  return {command, [flags, actions] {
            for (const Action& action : actions) {
              if (!action.flags->parsed()) continue;
              if (action.blocks_signals) BlockSignals();
              return action.run(*flags);
            }
            POMPC_CHECK(false, "a subcommand is required");
            return absl::OkStatus();
          }};
}

}  // namespace pompc::cli
