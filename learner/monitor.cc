#include "learner/monitor.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "common/process/freed_memory.h"
#include "common/process/log.h"
#include "common/values/short_text.h"

namespace pompc::learner {
namespace {

// Of a checkpoint's error, in bytes.
constexpr size_t kMaxError = 256;

// A file that cannot be written does not end the run.
void LogIfFailed(const absl::Status& status, Occasionally* failed, absl::Duration now) {
  if (!status.ok() && failed->Count(now) > 0) Log().error("{}", status.ToString());
}

run::PlannerView PlannerViewOf(const parameters::ParameterService::Subscriber& subscriber) {
  return {subscriber.name,
          subscriber.peer,
          subscriber.connected,
          subscriber.version,
          absl::ToDoubleSeconds(subscriber.behind),
          absl::ToDoubleSeconds(subscriber.since)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Monitor>> Monitor::Start(
    const MonitorOptions& options, run::RunControl* control, CheckpointWriter* checkpoints,
    const parameters::ParameterService* parameters, rundir::EventFile* events) {
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<rundir::EvaluationLog> evaluations,
                         rundir::EvaluationLog::Open(options.run_dir + "/evaluations.csv"));
  POMPC_ASSIGN_OR_RETURN(
      std::unique_ptr<rundir::CsvFile> episodes,
      rundir::CsvFile::Open(options.run_dir + "/episodes.csv",
                            {"elapsed_seconds", "rows", "episodes", "actor_index", "return"}));
  return std::unique_ptr<Monitor>(new Monitor(options, control, checkpoints, parameters, events,
                                              std::move(evaluations), std::move(episodes)));
}

Monitor::Monitor(const MonitorOptions& options, run::RunControl* control,
                 CheckpointWriter* checkpoints, const parameters::ParameterService* parameters,
                 rundir::EventFile* events, std::unique_ptr<rundir::EvaluationLog> evaluations,
                 std::unique_ptr<rundir::CsvFile> episodes)
    : options_(options),
      control_(control),
      checkpoints_(checkpoints),
      parameters_(parameters),
      events_(events),
      evaluations_(std::move(evaluations)),
      episodes_(std::move(episodes)),
      next_progress_(options.clock->Now() + options.progress_interval),
      thread_("monitor", [this] { Run(); }) {}

Monitor::~Monitor() { Close(); }

void Monitor::Run() {
  do {
    Round().IgnoreError();
  } while (!closed_.WaitUntil(options_.clock, options_.clock->Now() + options_.interval));
  if (const absl::Status status = Round(); !status.ok()) Log().error("{}", status.ToString());
}

void Monitor::Observe() {
  const parameters::ParameterService::Stats parameters = parameters_->stats();
  std::vector<run::PlannerView> planners;
  for (const auto* subscribers : {&parameters.subscribers, &parameters.lost}) {
    for (const auto& subscriber : *subscribers) planners.push_back(PlannerViewOf(subscriber));
  }
  control_->Observe(std::move(planners), ViewOf(checkpoints_->stats()));
}

run::CheckpointView Monitor::ViewOf(const CheckpointWriter::Stats& stats) const {
  const absl::Duration now = options_.clock->Now();
  if (!stats.status.ok()) {
    return {ShortText(stats.status.message(), kMaxError),
            absl::ToDoubleSeconds(now - stats.failing_since)};
  }
  if (!stats.writing.has_value() || now - stats.writing_since < options_.slow_write) return {};
  return {absl::StrCat("that of update ", *stats.writing, " is still being written"),
          absl::ToDoubleSeconds(now - stats.writing_since)};
}

absl::Status Monitor::Round() {
  MutexLock lock(&mu_);
  LookForFolder();
  Observe();
  if (const absl::Duration pause = control_->Tick(); pause > absl::ZeroDuration()) {
    Log().warn("this learner did not run for {}; leases end that much later",
               absl::FormatDuration(absl::Trunc(pause, absl::Milliseconds(100))));
  }
  for (const run::EvaluationNews& news : control_->TakeEvaluationNews()) Record(news);
  absl::Status episodes = episodes_->Flush();
  for (const run::EpisodeNews& news : control_->TakeEpisodeNews()) {
    episodes =
        episodes_->Append({rundir::FormatNumber(news.elapsed_seconds), absl::StrCat(news.rows),
                           absl::StrCat(news.episodes), absl::StrCat(news.actor_index),
                           rundir::FormatNumber(news.episode_return)});
  }
  const absl::Duration now = options_.clock->Now();
  LogIfFailed(episodes, &episodes_failed_, now);
  const absl::Status evaluations = evaluations_->Flush();
  LogIfFailed(evaluations, &evaluations_failed_, now);
  if (now >= next_progress_) LogProgress();
  return evaluations;
}

void Monitor::LookForFolder() {
  if (moved_ || options_.on_moved == nullptr) return;
  const absl::Status status = checkpoints_->CheckInPlace();
  moved_ = !status.ok();
  if (moved_) options_.on_moved(status);
}

absl::Status Monitor::Finish(absl::Duration timeout) {
  const absl::Duration give_up = options_.clock->Now() + timeout;
  while (true) {
    const absl::Status status = Round();
    const absl::Duration now = options_.clock->Now();
    // What is lost does not come back.
    if (status.ok() || absl::IsDataLoss(status) || now >= give_up) return status;
    const absl::Duration next = std::min(give_up, now + options_.interval);
    if (closed_.WaitUntil(options_.clock, next)) return status;
  }
}

void Monitor::Record(const run::EvaluationNews& news) {
  // The table comes first: it decides which checkpoint is the best. Round tells of its errors, and
  // tries again.
  if (news.result.has_value()) evaluations_->Append(*news.result).IgnoreError();
  checkpoints_->Settle(news.assignment.updates, news.result);
  if (!news.result.has_value()) {
    Log().warn("evaluation {} of version {} was abandoned", news.assignment.id,
               news.assignment.version.ToString());
    return;
  }
  const run::EvaluationResult& result = *news.result;
  Log().info("evaluation {}: return {:.1f} at {} rows{}", result.id, result.return_mean,
             result.rows, news.best ? ", the best so far" : "");
  if (events_ == nullptr) return;
  LogIfFailed(events_->Append(result.updates, "evaluation",
                              {{"return_mean", result.return_mean},
                               {"return_min", result.return_min},
                               {"return_max", result.return_max}}),
              &events_failed_, options_.clock->Now());
}

void Monitor::LogProgress() {
  next_progress_ = options_.clock->Now() + options_.progress_interval;
  Log().info("{}", ProgressLine(control_->Status()));
  ReturnFreedMemory();
}

void Monitor::Close() {
  closed_.Set();
  thread_.Join();
}

std::string ProgressLine(const run::RunStatus& status) {
  std::string line = absl::StrFormat(
      "%s: %u rows (%.1f/s), %u updates (%.1f/s)", run::PhaseName(status.phase), status.rows,
      status.rows_per_second, status.updates, status.updates_per_second);
  if (!status.evaluations.empty()) {
    absl::StrAppendFormat(&line, ", last evaluation %.1f, best %.1f",
                          status.evaluations.back().return_mean,
                          status.evaluations[*status.best_evaluation].return_mean);
  }
  if (status.remaining_seconds > 0) {
    absl::StrAppendFormat(&line, ", at most %.0f s left", status.remaining_seconds);
  }
  if (!status.waiting.empty()) absl::StrAppend(&line, "; ", status.waiting);
  return line;
}

}  // namespace pompc::learner
