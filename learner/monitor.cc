#include "learner/monitor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/process/freed_memory.h"
#include "common/process/log.h"
#include "common/values/short_text.h"
#include "proto/parameter_version.h"
#include "run/control/status_report.h"

namespace pompc::learner {
namespace {

// The most bytes of a checkpoint's error.
constexpr size_t kMaxError = 256;

// A file that cannot be written does not end the run.
void LogIfFailed(const absl::Status& status, Occasionally* failed, absl::Duration now) {
  if (!status.ok() && failed->Count(now) > 0) Log().error("{}", status.ToString());
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
  // One more round, because results may have arrived since the last one. Its error is logged, as no
  // later round can write what this one could not.
  if (const absl::Status status = Round(); !status.ok()) Log().error("{}", status.ToString());
}

void Monitor::Observe() {
  proto::RunStatus observed;
  const parameters::ParameterService::Stats parameters = parameters_->stats();
  for (const auto* planners : {&parameters.subscribers, &parameters.lost}) {
    observed.mutable_planners()->Add(planners->begin(), planners->end());
  }
  // A write that fails has an error. One that hangs, as on a network file system that is gone, has
  // none, so it is reported once it has taken long.
  const CheckpointWriter::Stats checkpoints = checkpoints_->stats();
  const absl::Duration now = options_.clock->Now();
  if (!checkpoints.status.ok()) {
    observed.set_checkpoint_error(ShortText(checkpoints.status.message(), kMaxError));
    observed.set_checkpoint_failing_seconds(absl::ToDoubleSeconds(now - checkpoints.failing_since));
  } else if (checkpoints.writing.has_value() &&
             now - checkpoints.writing_since >= options_.slow_write) {
    observed.set_checkpoint_error(
        absl::StrCat("that of update ", *checkpoints.writing, " is still being written"));
    observed.set_checkpoint_failing_seconds(absl::ToDoubleSeconds(now - checkpoints.writing_since));
  }
  control_->Observe(std::move(observed));
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
  // Rows that an earlier round could not write go first. Append tries them again as well, so the
  // last status stands for all rows.
  absl::Status episodes = episodes_->Flush();
  const std::vector<run::EpisodeNews> ended = control_->TakeEpisodeNews();
  for (const run::EpisodeNews& news : ended) {
    episodes =
        episodes_->Append({rundir::FormatNumber(news.elapsed_seconds), absl::StrCat(news.rows),
                           absl::StrCat(news.episodes), absl::StrCat(news.actor_index),
                           rundir::FormatNumber(news.episode_return)});
  }
  if (options_.on_round != nullptr) options_.on_round(ended);
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
  checkpoints_->Settle(news.assignment.updates(), news.result);
  if (!news.result.has_value()) {
    Log().warn("evaluation {} of version {} was abandoned", news.assignment.evaluation_id(),
               FromProto(news.assignment.version()).ToString());
    return;
  }
  const proto::EvaluationResult& result = *news.result;
  Log().info("evaluation {}: return {:.1f} at {} rows{}", result.evaluation_id(),
             result.return_mean(), result.rows(), news.best ? ", the best so far" : "");
  if (events_ == nullptr) return;
  LogIfFailed(events_->Append(result.updates(), "evaluation",
                              {{"return_mean", result.return_mean()},
                               {"return_min", result.return_min()},
                               {"return_max", result.return_max()}}),
              &events_failed_, options_.clock->Now());
}

void Monitor::LogProgress() {
  next_progress_ = options_.clock->Now() + options_.progress_interval;
  Log().info("{}", run::ProgressLine(control_->Status()));
  // Heaps of the learner's threads creep up to the most that each ever held; docs/performance.md
  // (Memory) has what this saves.
  ReturnFreedMemory();
}

void Monitor::Close() {
  closed_.Set();
  thread_.Join();
}

}  // namespace pompc::learner
