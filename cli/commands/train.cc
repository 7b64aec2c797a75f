#include <atomic>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "actor/environments.h"
#include "cli/checkpoint/checkpoint_file.h"
#include "cli/commands/command.h"
#include "cli/commands/in_process_run.h"
#include "cli/report/learning_curve.h"
#include "cli/report/progress_display.h"
#include "cli/report/run_directory.h"
#include "cli/report/run_report.h"
#include "common/base/check.h"
#include "common/io/descriptors.h"
#include "common/io/listener.h"
#include "common/metrics/http_server.h"
#include "common/process/log.h"
#include "common/process/program.h"
#include "common/process/signals.h"
#include "learner/status_pages.h"
#include "run/control/status_report.h"
#include "rundir/run_directory.h"

namespace pompc::cli {
namespace {

constexpr char kTrainExamples[] =
    "Examples:\n"
    "  pompc train --preset quickstart                       minutes on two CPU cores\n"
    "  pompc train --preset quickstart --seed 2 --run-dir runs/two\n"
    "  pompc train --preset quickstart --set learner.utd=1 --set stop.return_mean=800\n"
    "  pompc train --run-dir runs/two                        resumes from its newest checkpoint\n"
    "  pompc train --preset quickstart --offline --import demos.safetensors --set "
    "stop.max_updates=20000\n"
    "                                                        learns from a data set alone\n"
    "Ctrl-C, SIGTERM, SIGHUP (a terminal that closes; nohup prevents it), SIGUSR1, SIGUSR2 and "
    "the\n"
    "limit of CPU time (ulimit -S -t) end the run with a checkpoint; a second Ctrl-C ends it at\n"
    "once. If the run directory already holds a run, the command resumes it; without --preset and\n"
    "--config it keeps the config that it had.";

// The progress is read this often: faster than it changes, and seldom enough to cost nothing.
constexpr absl::Duration kLook = absl::Milliseconds(500);

struct TrainFlags {
  ConfigFlags config;
  InProcessRunOptions run;
  bool offline = false;
  std::string import;
  // The addresses of planners of other processes.
  std::string planners;
  std::string certificates;
  std::string metrics_listen = "127.0.0.1:0";
  std::string log_level = "warning";
  std::string log_format = "text";
};

// The config of a new run, or of one that is resumed.
absl::StatusOr<proto::RunConfig> MakeConfig(TrainFlags flags) {
  std::vector<std::string>& overrides = flags.config.sources.overrides;
  if (flags.offline) overrides.push_back("schedule=OFFLINE");
  if (!flags.import.empty()) overrides.push_back(absl::StrCat("replay.import=", flags.import));
  const std::string& run_dir = flags.run.run_dir;
  if (flags.config.HasBase() || !HoldsRun(run_dir)) return flags.config.Load();
  POMPC_ASSIGN_OR_RETURN(const proto::RunConfig before, ReadRunConfig(run_dir));
  // The run's own config takes the place of a preset, and --set changes it.
  flags.config.sources.files.push_back(ConfigFile(run_dir));
  // The run's own env.spec would be found at odds with another task or action repeat, and blamed
  // instead of the field that the user set.
  return flags.config.Load(
      [&](const proto::RunConfig& now) { return rundir::CheckSameRun(run_dir, before, now); });
}

// Shows the run's progress until it is over or `interrupted`.
void Follow(InProcessRun* run, Event* interrupted, ProgressDisplay* display) {
  int evaluations = -1;
  while (!run->over()->WaitUntil(Clock::Real(), Clock::Real()->Now() + kLook)) {
    if (interrupted->IsSet()) return;
    const absl::StatusOr<proto::GetRunReply> got = run->Get();
    // A learner that is too busy to answer in time is asked again at the next look.
    if (!got.ok()) continue;
    display->Show(run::ProgressLine(got->status()));
    const int now = got->status().evaluations_size();
    // The curve is drawn again only when it has a new point, which is an evaluation.
    if (now == evaluations) continue;
    evaluations = now;
    const std::string& run_dir = run->learner().run_dir();
    const absl::Status drawn = WriteLearningCurve(run_dir, LearningCurveFile(run_dir));
    if (!drawn.ok()) Log().warn("learning curve: {}", drawn.ToString());
  }
}

// INVALID_ARGUMENT if no actor of this process can step the task. An actor would find that out too,
// but only once the run has begun.
absl::Status CheckTask(const InProcessRunOptions& options) {
  const bool offline = options.config.schedule() == proto::RunConfig::OFFLINE;
  // Without actors and evaluators nobody steps it.
  if (offline && options.config.evaluation().every_updates() == 0) return absl::OkStatus();
  if (offline && options.config.env().task() == config::kExternalTask) {
    return absl::InvalidArgumentError(
        "env.task is \"external\": no evaluator of this process can step it; set "
        "evaluation.every_updates=0 to learn offline without evaluations");
  }
  if (options.config.env().task() == config::kExternalTask) {
    return absl::InvalidArgumentError(
        "env.task is \"external\": its environment is stepped by an actor of your own, which this"
        " process does not start; scripts/local-cluster.sh --actor-command does"
        " (docs/external-environments.md)");
  }
  return actor::FactoryForTask(options.config.env(), options.assets).status();
}

// Fails unless planners at the address could reach a learner that listens at `listen`.
absl::Status CheckReach(const std::string& planner, const ListenAddress& listen) {
  const absl::StatusOr<ListenAddress> address = ParseListenAddress(planner);
  if (!listen.IsLoopback() || (address.ok() && address->IsLoopback())) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--listen: ", listen.ToString(), " is for this machine alone; planners at ", planner,
      " must reach the learner there: allowed is an address of this machine that they reach"));
}

// Loads the certificates of this process, which must be a learner's. With planners of other
// processes it also asks for plans, as an actor, and names its learner to them, as an operator;
// with a fleet its shards serve other processes as well.
absl::Status SetCertificates(const TrainFlags& flags, InProcessRunOptions* options) {
  POMPC_ASSIGN_OR_RETURN(options->certificates, rpc::LoadCertificates(flags.certificates));
  if (options->certificates == nullptr) return absl::OkStatus();
  POMPC_RETURN_IF_ERROR(options->certificates->CheckRole(proto::Access::LEARNER));
  if (flags.planners.empty()) return absl::OkStatus();
  POMPC_RETURN_IF_ERROR(options->certificates->CheckRole(proto::Access::ACTOR));
  POMPC_RETURN_IF_ERROR(options->certificates->CheckRole(proto::Access::OPERATOR));
  if (!options->fleet) return absl::OkStatus();
  return options->certificates->CheckRole(proto::Access::REPLAY);
}

// Refuses what contradicts --fleet.
absl::Status CheckFleet(const InProcessRunOptions& options) {
  if (!options.fleet) return absl::OkStatus();
  if (options.planners.empty()) {
    return absl::InvalidArgumentError(
        "--fleet: actors of a fleet find the run at its planners; --planners is missing");
  }
  if (options.config.schedule() == proto::RunConfig::CONCURRENT) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--fleet: the schedule is ", proto::RunConfig::Schedule_Name(options.config.schedule()),
      ", in which no other process steps environments; allowed is CONCURRENT"));
}

// Takes planners of other processes for those of the run.
absl::Status SetPlanners(const TrainFlags& flags, InProcessRunOptions* options) {
  if (flags.planners.empty()) return absl::OkStatus();
  POMPC_ASSIGN_OR_RETURN(options->planners,
                         rpc::ParseEndpoints("--planners", flags.planners,
                                             {options->certificates, proto::Access::PLANNER}));
  if (options->listen.empty()) options->listen = "127.0.0.1:0";
  POMPC_ASSIGN_OR_RETURN(const ListenAddress listen, ParseListenAddress(options->listen));
  if (listen.host == "0.0.0.0" || listen.host == "::") {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen: ", options->listen,
                     "; with --planners allowed is one address, at which they reach the learner"));
  }
  for (const rpc::Endpoint& planner : options->planners) {
    POMPC_RETURN_IF_ERROR(CheckReach(planner.address(), listen));
  }
  return absl::OkStatus();
}

absl::Status Health(const InProcessRun* run) {
  return run == nullptr ? absl::UnavailableError("starting") : run->learner().Health();
}

absl::Status Train(const TrainFlags& flags) {
  POMPC_RETURN_IF_ERROR(
      SetUpLogging({.role = "", .level = flags.log_level, .format = flags.log_format}));
  POMPC_RETURN_IF_ERROR(CheckDescriptorLimit());
  InProcessRunOptions options = flags.run;
  POMPC_RETURN_IF_ERROR(SetCertificates(flags, &options));
  POMPC_RETURN_IF_ERROR(SetPlanners(flags, &options));
  POMPC_ASSIGN_OR_RETURN(options.config, MakeConfig(flags));
  POMPC_RETURN_IF_ERROR(CheckFleet(options));
  POMPC_RETURN_IF_ERROR(CheckTask(options));
  ProgressDisplay display(StandardOutputOptions(), &std::cout);
  Event interrupted;
  std::atomic<int> signal_seen = 0;
  SignalHandler signals([&](int signal) {
    signal_seen = signal;
    interrupted.Set();
  });
  const MetricSource process = AddProcessMetrics(*options.metrics, "pompc-train");
  // The HTTP server starts before the run, so that a health check finds it while the run starts.
  // Pages read the run only between its start and http->Stop().
  std::atomic<const InProcessRun*> running = nullptr;
  POMPC_ASSIGN_OR_RETURN(
      const std::unique_ptr<HttpServer> http,
      HttpServer::Start({.listen = flags.metrics_listen,
                         .metrics = options.metrics,
                         .health = [&running] { return Health(running); }}));
  // The folder is made late, so that flags that are refused leave none behind.
  std::optional<NewRunDirectory> made;
  if (options.run_dir.empty()) {
    POMPC_ASSIGN_OR_RETURN(made, NewRunDirectory::Make(options.config.env().task()));
    options.run_dir = made->path();
  }
  POMPC_ASSIGN_OR_RETURN(const std::unique_ptr<InProcessRun> run, InProcessRun::Start(options));
  running = run.get();
  // The run outlives the server that asks for its pages.
  learner::AddStatusPages(*http, [run = run.get()] {
    return std::shared_ptr<const learner::App>(std::shared_ptr<void>(), &run->learner());
  });
  display.Say(absl::StrCat(
      "run directory ", run->learner().run_dir(), ", status page http://", http->address(), "/",
      options.listen.empty() ? "" : absl::StrCat(", learner at ", run->learner().address())));
  Follow(run.get(), &interrupted, &display);
  display.Finish();
  const absl::StatusOr<proto::GetRunReply> last = run->Get();
  const bool over = run->over()->IsSet();
  if (!over) {
    display.Say(absl::StrCat(StopReason(signal_seen),
                             ": stopping with a checkpoint; Ctrl-C from now on stops at once"));
  }
  // Pages read the run, so the server that makes them stops first.
  http->Stop();
  run->Stop();
  const std::string& run_dir = run->learner().run_dir();
  // A curve that could not be drawn for want of room is no failure of the run: it can be drawn
  // again at any time.
  const absl::Status drawn = WriteLearningCurve(run_dir, LearningCurveFile(run_dir));
  if (!drawn.ok()) Log().warn("learning curve: {}; `pompc plot` draws it", drawn.ToString());
  if (last.ok()) {
    std::cout << RunSummary(*last, BestCheckpoint(run_dir), NewestCheckpoint(run_dir));
  }
  if (drawn.ok()) std::cout << "  learning curve   " << LearningCurveFile(run_dir) << std::endl;
  POMPC_RETURN_IF_ERROR(run->error());
  if (!over) std::cout << "resume with: pompc train --run-dir " << run_dir << std::endl;
  // The run's results are in its folder. Where its output cannot be written (a closed pipe), it
  // ends as it would have otherwise.
  const absl::Status shown = FlushStandardOutput();
  if (!shown.ok()) Log().warn("{}; the run is in {}", std::string(shown.message()), run_dir);
  return absl::OkStatus();
}

void AddSizes(CLI::App& command, InProcessRunOptions* run) {
  rpc::AddInteger(command,
                  {"--threads", "number of CPU threads of one operation of the learner", 1, 1024},
                  &run->threads);
  rpc::AddInteger(command,
                  {"--plan-threads",
                   "CPU threads that plan, each for some of the environments, 0: one a core", 0,
                   1024},
                  &run->plan_threads);
  rpc::AddInteger(command, {"--shards", "replay shards", 1, 64}, &run->shards);
}

}  // namespace

Command AddTrain(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand(
      "train", "Trains: all roles of a run in this process, until its goal or limit is reached.");
  command->footer(kTrainExamples);
  auto flags = std::make_shared<TrainFlags>();
  flags->config.AddTo(*command);
  command
      ->add_option("--run-dir", flags->run.run_dir,
                   "the run's folder; default a new one, runs/<task>-<date>-<time>")
      ->type_name("DIR");
  AddAssets(*command, &flags->run.assets);
  command->add_flag("--offline", flags->offline,
                    "short for --set schedule=OFFLINE: learn from data sets alone, without actors");
  command
      ->add_option("--import", flags->import,
                   "short for --set replay.import=FILES: data sets that replay begins with")
      ->type_name("FILE,FILE");
  command
      ->add_option("--device", flags->run.device,
                   "where learner and planner compute: cpu, cuda or cuda:N")
      ->capture_default_str();
  AddSizes(*command, &flags->run);
  command
      ->add_option("--listen", flags->run.listen,
                   "serve the learner here as well, for pompc status; default: not at all")
      ->type_name("HOST:PORT");
  command
      ->add_option("--planners", flags->planners,
                   "planners of other processes, started with --accept-runs, plan instead of one "
                   "of this process; they reach the learner at --listen (default 127.0.0.1:0)")
      ->type_name("HOST:PORT,...");
  command->add_flag("--fleet", flags->run.fleet,
                    "with --planners: actors started with pompc-actor --fleet step the "
                    "environments; they are divided among all such runs by need");
  rpc::AddCertificatesFlag(*command, &flags->certificates);
  command->add_flag(
      "--insecure", flags->run.insecure,
      "allow --listen on addresses that other hosts can reach without --certificates: "
      "whoever reaches it may do everything");
  command
      ->add_option("--metrics-listen", flags->metrics_listen,
                   "serve /metrics, /healthz and the status page here; port 0 takes a free one")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command
      ->add_option("--log-level", flags->log_level,
                   "trace, debug, info, warning, error, critical or off")
      ->capture_default_str();
  command->add_option("--log-format", flags->log_format, "text, or json: one object a line")
      ->envname("POMPC_LOG_FORMAT")
      ->capture_default_str();
  return {.flags = command,
          .run =
              [flags] {
                BlockSignals();
                return Train(*flags);
              },
          .needs_output = false};
}

}  // namespace pompc::cli
