#include "cli/sweep/runner.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/sweep/log_lines.h"
#include "cli/sweep/status.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/io/background_process.h"
#include "common/io/descriptors.h"
#include "common/process/log.h"
#include "common/process/signals.h"
#include "common/values/text_table.h"
#include "rundir/run_directory.h"

namespace pompc::cli {
namespace {

// A request to stop is looked for this often, and the page is written at most as often as the
// second says.
constexpr absl::Duration kLook = absl::Milliseconds(500);
constexpr absl::Duration kPageEvery = absl::Seconds(3);
// Trials that were told to end with their checkpoints get so long before they are killed.
constexpr absl::Duration kStopGrace = absl::Minutes(5);
// A run directory is free soon after the process that held it has been killed.
constexpr int kLockAttempts = 100;
constexpr int kLockPauseMs = 100;

// Says whether the run in a folder has reached its goal or limit, and how it ended.
struct RunOutcome {
  bool finished = false;
  std::string text;
};

RunOutcome OutcomeOf(const std::string& run_dir) {
  const absl::StatusOr<rundir::NewestStart> start = rundir::ReadNewestStart(run_dir);
  if (!start.ok()) return {false, std::string(start.status().message())};
  if (!start->end.has_value()) return {false, "it has not told of its end"};
  return {absl::StartsWith(start->end->outcome, "FINISHED"), start->end->outcome};
}

bool IsLockstep(const Trial& trial) {
  return trial.config.schedule() == proto::RunConfig::LOCKSTEP;
}

// Waits until no process holds the run directory: that of a sweep that was killed may take a moment
// to end.
absl::Status AwaitFree(const std::string& run_dir) {
  std::error_code error;
  if (!std::filesystem::exists(run_dir + "/lock", error)) return absl::OkStatus();
  absl::Status status;
  for (int i = 0; i < kLockAttempts; ++i) {
    status = FileLock::Take(run_dir + "/lock").status();
    if (!absl::IsAborted(status)) return status;
    poll(nullptr, 0, kLockPauseMs);
  }
  return status;
}

class Runner {
 public:
  Runner(const RunnerOptions& options, SweepFolder* folder) : options_(options), folder_(*folder) {}

  absl::StatusOr<RunnerEnd> Run() {
    POMPC_RETURN_IF_ERROR(waker_.Open());
    SignalHandler signals([this](int signal) {
      signal_ = signal;
      waker_.Wake();
    });
    POMPC_RETURN_IF_ERROR(folder_.ClearStop());
    POMPC_RETURN_IF_ERROR(ForgetOldFailures());
    const absl::Status status = Loop();
    // Those that still run after an error end with this object.
    running_.clear();
    POMPC_RETURN_IF_ERROR(folder_.ClearStop());
    WritePage(false);
    POMPC_RETURN_IF_ERROR(status);
    RunnerEnd end = {.stopped_by = stopped_by_};
    for (const TrialOutcome& outcome : folder_.Outcomes()) end.failed += outcome.failed;
    return end;
  }

 private:
  struct Running {
    const Trial* trial;
    std::unique_ptr<BackgroundProcess> process;
    absl::Duration since;
  };

  // What failed too often before is tried again, as somebody has asked for the sweep again. What is
  // said to run was interrupted.
  absl::Status ForgetOldFailures() {
    for (const Trial& trial : folder_.plan().trials) {
      proto::TrialState state = folder_.State(trial.key);
      if (state.failures() == 0 && !state.running()) continue;
      if (state.failures() > folder_.plan().sweep.retries()) state.set_failures(0);
      state.set_running(false);
      POMPC_RETURN_IF_ERROR(folder_.SetState(state));
    }
    return absl::OkStatus();
  }

  absl::Status Loop() {
    while (true) {
      if (stopped_by_.empty()) POMPC_RETURN_IF_ERROR(StartMore());
      WritePageIfDue();
      if (running_.empty()) return absl::OkStatus();
      Wait();
      for (KeptProcess* process : options_.kept) {
        POMPC_RETURN_IF_ERROR(process->Tend(options_.out));
      }
      POMPC_RETURN_IF_ERROR(Reap());
      LookForStop();
      if (!stopped_by_.empty() && Clock::Real()->Now() - stopped_at_ >= kStopGrace) {
        *options_.out << running_.size() << " trials have not ended within "
                      << absl::FormatDuration(kStopGrace) << ": they are killed" << std::endl;
        return absl::OkStatus();
      }
    }
  }

  bool Runs(const Trial& trial) const {
    return std::any_of(running_.begin(), running_.end(),
                       [&trial](const Running& running) { return running.trial == &trial; });
  }

  // The trial to start next: of those with the fewest failures the first of the plan.
  const Trial* Next() const {
    const std::vector<TrialOutcome> outcomes = folder_.Outcomes();
    const Schedule schedule = MakeSchedule(folder_.plan(), outcomes);
    const Trial* next = nullptr;
    uint32_t fewest = 0;
    for (size_t i = 0; i < outcomes.size(); ++i) {
      const Trial& trial = folder_.plan().trials[i];
      if (schedule.needs[i] != TrialNeed::kWanted || outcomes[i].score.has_value() ||
          outcomes[i].failed || Runs(trial)) {
        continue;
      }
      const uint32_t failures = folder_.State(trial.key).failures();
      if (next != nullptr && failures >= fewest) continue;
      next = &trial;
      fewest = failures;
      if (failures == 0) break;
    }
    return next;
  }

  absl::Status StartMore() {
    while (running_.size() < static_cast<size_t>(options_.jobs)) {
      const Trial* const trial = Next();
      if (trial == nullptr) return absl::OkStatus();
      POMPC_RETURN_IF_ERROR(Start(*trial));
    }
    return absl::OkStatus();
  }

  absl::Status Start(const Trial& trial) {
    const std::string run_dir = folder_.RunDir(trial.key);
    POMPC_RETURN_IF_ERROR(folder_.KeepConfig(trial));
    POMPC_RETURN_IF_ERROR(AwaitFree(run_dir));
    // Finished, but the sweep was killed before it had recorded that.
    if (OutcomeOf(run_dir).finished) return Finish(trial, NAN, absl::ZeroDuration());
    if (IsLockstep(trial)) POMPC_RETURN_IF_ERROR(RemoveAll(run_dir));
    proto::TrialState state = folder_.State(trial.key);
    state.set_running(true);
    POMPC_RETURN_IF_ERROR(folder_.SetState(state));
    std::vector<std::string> arguments = {options_.program, "train",    "--run-dir",
                                          run_dir,          "--config", folder_.Config(trial.key)};
    // In LOCKSTEP plans are made one at a time: one core is enough, and more threads would wait.
    if (IsLockstep(trial)) arguments.insert(arguments.end(), {"--plan-threads", "1"});
    arguments.insert(arguments.end(), options_.flags.begin(), options_.flags.end());
    absl::StatusOr<std::unique_ptr<BackgroundProcess>> process = BackgroundProcess::Start(
        {.arguments = std::move(arguments), .log = folder_.Log(trial.key), .nice = options_.nice});
    if (!process.ok()) return process.status();
    running_.push_back({&trial, *std::move(process), Clock::Real()->Now()});
    return absl::OkStatus();
  }

  // Waits until a process ends, a signal comes or it is time to look around.
  void Wait() {
    std::vector<pollfd> waits = {{.fd = waker_.fd(), .events = POLLIN, .revents = 0}};
    for (const Running& running : running_) {
      waits.push_back({.fd = running.process->end_fd(), .events = POLLIN, .revents = 0});
    }
    // poll() passes over a descriptor below 0.
    for (const KeptProcess* process : options_.kept) {
      waits.push_back({.fd = process->end_fd(), .events = POLLIN, .revents = 0});
    }
    poll(waits.data(), waits.size(), PollTimeout(kLook));
    waker_.Clear();
  }

  absl::Status Reap() {
    for (size_t i = running_.size(); i-- > 0;) {
      const std::optional<ProcessEnd> end = running_[i].process->Poll();
      if (!end.has_value()) continue;
      const Running ended = std::move(running_[i]);
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
      POMPC_RETURN_IF_ERROR(HandleEnd(*ended.trial, *end, Clock::Real()->Now() - ended.since));
    }
    return absl::OkStatus();
  }

  absl::Status HandleEnd(const Trial& trial, const ProcessEnd& end, absl::Duration took) {
    const RunOutcome outcome = OutcomeOf(folder_.RunDir(trial.key));
    if (end.ok() && outcome.finished) {
      return Finish(trial, static_cast<double>(end.peak_memory_bytes) / (1 << 20), took);
    }
    if (!stopped_by_.empty()) {
      *options_.out << trial.key.ToString() << ": interrupted, not recorded" << std::endl;
      return absl::OkStatus();
    }
    return Fail(trial, end.ok() ? absl::StrCat("ended before its goal or limit: ", outcome.text)
                                : end.ToString());
  }

  absl::Status Fail(const Trial& trial, const std::string& why) {
    proto::TrialState state = folder_.State(trial.key);
    state.set_failures(state.failures() + 1);
    state.set_failure(why);
    state.set_running(false);
    state.clear_log_line();
    for (const std::string& line : LastLines(folder_.Log(trial.key))) state.add_log_line(line);
    POMPC_RETURN_IF_ERROR(folder_.SetState(state));
    const bool again = state.failures() <= folder_.plan().sweep.retries();
    *options_.out << trial.key.ToString() << ": " << why << "; its log is "
                  << folder_.Log(trial.key)
                  << (again ? "; it will be tried again" : "; it is given up") << std::endl;
    return absl::OkStatus();
  }

  absl::Status Finish(const Trial& trial, double memory_mib, absl::Duration took) {
    absl::StatusOr<SweepResults> results = SumUp(trial, folder_.RunDir(trial.key), memory_mib);
    // A run without an evaluation will not have one the next time.
    if (!results.ok()) return Fail(trial, std::string(results.status().message()));
    POMPC_RETURN_IF_ERROR(folder_.Record(*results));
    const TrialResult& result = results->trials[0];
    const SweepStatus status = ReadStatus(folder_, true);
    *options_.out << status.estimate.finished << " of "
                  << status.estimate.finished + status.estimate.failed + status.estimate.left
                  << ": " << trial.key.ToString()
                  << absl::StrFormat(": %.1f at the end, best %.1f; ", result.return_last,
                                     result.return_best)
                  << FormatNumber(result.rows) << " rows, "
                  << FormatSeconds(absl::ToDoubleSeconds(took)) << std::endl;
    for (size_t i = decisions_; i < status.decisions.size(); ++i) {
      *options_.out << status.decisions[i] << std::endl;
    }
    decisions_ = status.decisions.size();
    return absl::OkStatus();
  }

  // Tells the processes to end, once, if somebody wants that.
  void LookForStop() {
    if (!stopped_by_.empty()) return;
    if (signal_ != 0) {
      stopped_by_ = StopReason(signal_);
    } else if (folder_.StopRequested()) {
      stopped_by_ = "told to end by pompc sweep stop";
    } else {
      return;
    }
    stopped_at_ = Clock::Real()->Now();
    *options_.out << stopped_by_ << ": stopping with checkpoints; Ctrl-C from now on stops at once"
                  << std::endl;
    for (const Running& running : running_) running.process->Signal(SIGTERM);
  }

  void WritePageIfDue() {
    const absl::Duration now = Clock::Real()->Now();
    if (now - page_at_ >= kPageEvery) {
      page_at_ = now;
      WritePage(true);
    }
  }

  // A page that cannot be written (the disk is full) is no reason to end the sweep.
  void WritePage(bool running) {
    const std::string page =
        StatusHtml(folder_.plan().sweep.name(), ReadStatus(folder_, running), options_.jobs);
    const absl::Status written = WriteFileAtomically(folder_.StatusPage(), page);
    if (!written.ok()) Log().warn("status page: {}", written.ToString());
  }

  const RunnerOptions& options_;
  SweepFolder& folder_;
  PollWaker waker_;
  std::atomic<int> signal_ = 0;
  std::string stopped_by_;
  absl::Duration stopped_at_;
  std::vector<Running> running_;
  absl::Duration page_at_ = -absl::InfiniteDuration();
  size_t decisions_ = 0;
};

}  // namespace

absl::StatusOr<RunnerEnd> RunTrials(const RunnerOptions& options, SweepFolder* folder) {
  POMPC_CHECK_GE(options.jobs, 1);
  POMPC_CHECK(options.out != nullptr);
  return Runner(options, folder).Run();
}

absl::StatusOr<size_t> RecordFinished(SweepFolder* folder) {
  size_t recorded = 0;
  for (const Trial& trial : folder->plan().trials) {
    const std::string run_dir = folder->RunDir(trial.key);
    if (folder->results().Find(trial.key) != nullptr || !OutcomeOf(run_dir).finished) continue;
    absl::StatusOr<SweepResults> results = SumUp(trial, run_dir, NAN);
    // One that cannot be recorded holds up no others.
    if (!results.ok()) {
      Log().warn("{} is left out: {}", trial.key.ToString(), results.status().ToString());
      continue;
    }
    POMPC_RETURN_IF_ERROR(folder->Record(*std::move(results)));
    ++recorded;
  }
  return recorded;
}

}  // namespace pompc::cli
