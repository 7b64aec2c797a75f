#include "cli/sweep/kept_process.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <optional>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/sweep/log_lines.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/io/listener.h"

namespace pompc::cli {
namespace {

// Ports below those that the system gives to outgoing connections, one of which could take a port
// before the planner is started again.
constexpr int kFirstPort = 20'000, kPorts = 10'000;
constexpr int kPortAttempts = 1'000;
// Runs of trials that were killed have no one who takes their names back; they make room by
// themselves after a minute.
constexpr int kMoreRuns = 8, kMostRuns = 256;
constexpr absl::Duration kEarly = absl::Seconds(10);
constexpr int kMostEarlyEnds = 3;
constexpr absl::Duration kPause = absl::Seconds(1);
// A planner answers what waits first, for which it takes ten seconds at most; an actor flushes its
// rows in less.
constexpr int kStopMs = 15'000;

absl::StatusOr<std::string> FreeAddress() {
  std::random_device random;
  absl::Status last;
  for (int i = 0; i < kPortAttempts; ++i) {
    const int port = kFirstPort + static_cast<int>(random() % kPorts);
    const auto listener = Listener::Open({.host = "127.0.0.1", .port = port});
    if (listener.ok()) return (*listener)->address().ToString();
    last = listener.status();
  }
  return last;
}

}  // namespace

absl::StatusOr<std::unique_ptr<KeptProcess>> KeptProcess::Start(Options options) {
  std::unique_ptr<KeptProcess> kept(new KeptProcess(std::move(options)));
  POMPC_RETURN_IF_ERROR(kept->StartProcess());
  return kept;
}

absl::Status KeptProcess::StartProcess() {
  POMPC_ASSIGN_OR_RETURN(process_, BackgroundProcess::Start(options_.process));
  started_at_ = Clock::Real()->Now();
  return absl::OkStatus();
}

absl::Status KeptProcess::Tend(std::ostream* out) {
  const absl::Duration now = Clock::Real()->Now();
  if (process_ == nullptr) {
    return now < start_again_at_ ? absl::OkStatus() : StartProcess();
  }
  const std::optional<ProcessEnd> end = process_->Poll();
  if (!end.has_value()) return absl::OkStatus();
  process_.reset();
  const std::string& log = options_.process.log;
  early_ends_ = now - started_at_ < kEarly ? early_ends_ + 1 : 0;
  if (early_ends_ == kMostEarlyEnds) {
    return absl::AbortedError(absl::StrCat(options_.name, " ", end->ToString(), ", ",
                                           kMostEarlyEnds, " times running soon after its start; ",
                                           log, ": ", absl::StrJoin(LastLines(log), "; ")));
  }
  start_again_at_ = now + kPause;
  *out << options_.name << " " << end->ToString() << "; it is started again; its log is " << log
       << std::endl;
  return absl::OkStatus();
}

void KeptProcess::BeginStop() {
  if (process_ != nullptr) process_->Signal(SIGTERM);
}

ProcessEnd KeptProcess::Stop() {
  if (process_ == nullptr) return {};
  BeginStop();
  pollfd wait = {.fd = process_->end_fd(), .events = POLLIN, .revents = 0};
  poll(&wait, 1, kStopMs);
  std::optional<ProcessEnd> end = process_->Poll();
  // Its pipe closes a moment before it can be waited for.
  for (int i = 0; !end.has_value() && i < 100; ++i) {
    poll(nullptr, 0, 10);
    end = process_->Poll();
  }
  process_.reset();
  return end.value_or(ProcessEnd{.signal = SIGKILL});
}

std::vector<KeptProcess*> SweepProcesses::all() const {
  std::vector<KeptProcess*> processes;
  if (planner != nullptr) processes.push_back(planner.get());
  for (const auto& actor : actors) processes.push_back(actor.get());
  return processes;
}

ProcessEnd SweepProcesses::Stop() {
  for (const auto& actor : actors) actor->BeginStop();
  for (const auto& actor : actors) actor->Stop();
  return planner == nullptr ? ProcessEnd() : planner->Stop();
}

absl::Status StartSharedPlanner(const SharedPlannerOptions& options, SweepProcesses* processes) {
  POMPC_CHECK_GE(options.trials, 1);
  POMPC_ASSIGN_OR_RETURN(processes->planner_address, FreeAddress());
  const int runs = std::min(2 * options.trials + kMoreRuns, kMostRuns);
  std::vector<std::string> arguments = {options.program,    "--accept-runs",
                                        "--listen",         processes->planner_address,
                                        "--max-runs",       absl::StrCat(runs),
                                        "--metrics-listen", "127.0.0.1:0",
                                        "--threads",        absl::StrCat(options.threads),
                                        "--device",         options.device};
  POMPC_ASSIGN_OR_RETURN(processes->planner,
                         KeptProcess::Start({.name = "the planner",
                                             .process = {.arguments = std::move(arguments),
                                                         .log = options.log,
                                                         .nice = options.nice}}));
  return absl::OkStatus();
}

absl::Status StartFleetActors(const FleetActorsOptions& options, SweepProcesses* processes) {
  POMPC_CHECK_GE(options.actors, 1);
  for (int i = 0; i < options.actors; ++i) {
    std::vector<std::string> arguments = {options.program,    "--fleet",
                                          "--planners",       options.planners,
                                          "--environments",   absl::StrCat(options.environments),
                                          "--metrics-listen", "127.0.0.1:0"};
    arguments.insert(arguments.end(), options.flags.begin(), options.flags.end());
    POMPC_ASSIGN_OR_RETURN(
        processes->actors.emplace_back(),
        KeptProcess::Start({.name = absl::StrCat("actor ", i),
                            .process = {.arguments = std::move(arguments),
                                        .log = absl::StrCat(options.folder, "/actor-", i, ".log"),
                                        .nice = options.nice}}));
  }
  return absl::OkStatus();
}

}  // namespace pompc::cli
