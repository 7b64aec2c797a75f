#include "run/run_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/occasionally.h"
#include "common/base/retry.h"
#include "common/process/log.h"
#include "common/rpc/call.h"
#include "common/values/short_text.h"
#include "common/values/utf8.h"
#include "grpcpp/channel.h"

namespace pompc::run {
namespace {

using Stub = proto::RunService::Stub;

// The interval at which the log repeats that the learner is waited for.
constexpr absl::Duration kTellEvery = absl::Seconds(30);
// The most bytes of what this process says about itself.
constexpr size_t kMaxText = 256;

// All calls of this service may be repeated: what is no refusal (no answer in time, a server that
// shuts down, no lease free) counts as nobody being there just now. NOT_FOUND is a refusal here:
// the lease has ended.
template <typename Reply>
absl::StatusOr<Reply> AsUnavailable(absl::StatusOr<Reply> reply) {
  if (reply.ok() || IsLasting(reply.status()) || absl::IsNotFound(reply.status())) return reply;
  return absl::UnavailableError(reply.status().message());
}

std::string AwayText(const absl::Status& status) {
  return absl::StrCat("the learner is unreachable: ", status.message());
}

bool SameEvaluation(const proto::EvaluationAssignment& a, const proto::EvaluationAssignment& b) {
  return a.evaluation_id() == b.evaluation_id() &&
         a.version().incarnation() == b.version().incarnation() &&
         a.version().number() == b.version().number();
}

RetryOptions MakeRetry(const RunClientOptions& options, absl::Duration give_up_after) {
  RetryOptions retry;
  retry.backoff = options.backoff;
  retry.seed = options.seed;
  retry.give_up_after = give_up_after;
  return retry;
}

}  // namespace

RunClient::RunClient(const RunClientOptions& options)
    : options_(options),
      stub_(proto::RunService::NewStub(options.learner.Channel())),
      last_answer_(options.clock->Now()) {}

RunClient::~RunClient() { Close(); }

absl::StatusOr<proto::RegisterReply> RunClient::Register(absl::Duration give_up_after) {
  RetryOptions retry = MakeRetry(options_, give_up_after);
  Occasionally tell(kTellEvery);
  retry.on_retry = [&](const absl::Status& status, absl::Duration) {
    if (tell.Count(options_.clock->Now()) > 0) {
      Log().info("waiting for the learner at {}: {}", options_.learner.address(),
                 status.ToString());
    }
    MutexLock lock(&mu_);
    news_.problem = AwayText(status);
  };
  absl::Status status =
      RetryWhileUnavailable(options_.clock, &closed_, retry, [&] { return TryRegister(); });
  if (!status.ok()) return status;
  return *news().registration;
}

absl::Status RunClient::TryRegister() {
  proto::RegisterRequest request;
  *request.mutable_header() = rpc::MakeHeader(run_id());
  request.set_role(options_.role);
  request.set_name(ToUtf8(options_.name));
  request.set_environments(options_.environments);
  request.set_process_id(options_.process_id);
  {
    MutexLock lock(&mu_);
    if (news_.registration != nullptr) request.set_former_index(news_.registration->index());
  }
  absl::StatusOr<proto::RegisterReply> reply =
      AsUnavailable(rpc::CallUnary(*stub_, &Stub::Register, request, options_.call_timeout));
  if (!reply.ok()) return reply.status();
  MutexLock lock(&mu_);
  // The learner counts what a heartbeat adds under its lease, from 0. What the last answered
  // heartbeat told under the old lease is counted already; what was lost with it is not.
  counters_before_lease_ = told_counters_;
  news_.phase = reply->phase();
  news_.evaluation.reset();
  news_.problem.clear();
  news_.registration = std::make_shared<const proto::RegisterReply>(*std::move(reply));
  return absl::OkStatus();
}

void RunClient::Start(OnNews on_news) {
  on_news_ = std::move(on_news);
  {
    MutexLock lock(&mu_);
    POMPC_CHECK(news_.registration != nullptr, "Register comes first");
    POMPC_CHECK(!started_, "Start is called once");
    started_ = true;
    last_answer_ = options_.clock->Now();
  }
  MutexLock lock(&thread_mu_);
  if (closed_.IsSet()) return;
  thread_ = Thread("run-client", [this] { HeartbeatLoop(); });
}

void RunClient::HeartbeatLoop() {
  while (!closed_.IsSet()) {
    absl::Status status = Beat();
    if (status.code() == absl::StatusCode::kNotFound) {
      Log().info("the lease has ended; registering again");
      status = TryRegister();
    }
    // A client that was closed during the call hands nothing on any more.
    if (closed_.IsSet()) return;
    const bool go_on = TakeIn(status);
    if (on_news_) on_news_(news());
    if (!go_on) return;
    AwaitNextBeat();
  }
}

proto::HeartbeatRequest RunClient::MakeHeartbeat() const {
  POMPC_CHECK(news_.registration != nullptr);
  proto::HeartbeatRequest request;
  *request.mutable_header() = rpc::MakeHeader(news_.registration->run_id());
  request.set_lease_id(news_.registration->lease_id());
  request.set_rows(counters_.rows - counters_before_lease_.rows);
  request.set_episodes(counters_.episodes - counters_before_lease_.episodes);
  request.set_last_return(counters_.last_return);
  return request;
}

absl::Status RunClient::Beat() {
  proto::HeartbeatRequest request;
  RunCounters told;
  {
    MutexLock lock(&mu_);
    told = counters_;
    request = MakeHeartbeat();
    request.set_waiting(waiting_);
  }
  absl::StatusOr<proto::HeartbeatReply> reply =
      AsUnavailable(rpc::CallUnary(*stub_, &Stub::Heartbeat, request, options_.call_timeout));
  if (!reply.ok()) return reply.status();
  MutexLock lock(&mu_);
  // Only what was answered counts as told: the learner may never have read the rest.
  told_counters_ = told;
  news_.phase = reply->phase();
  news_.version = reply->version();
  news_.evaluation.reset();
  // An answer that was in flight while the result was told still asks for it.
  if (reply->has_evaluation() && !SameEvaluation(reply->evaluation(), reported_)) {
    news_.evaluation = std::move(*reply->mutable_evaluation());
  }
  return absl::OkStatus();
}

bool RunClient::TakeIn(const absl::Status& status) {
  MutexLock lock(&mu_);
  const absl::Duration now = options_.clock->Now();
  if (status.ok()) {
    last_answer_ = now;
    news_.problem.clear();
    return !news_.over();
  }
  // A refusal ends this process: the address serves another run now, or another version. Silence
  // does so only after give_up_after, which is for ever unless a caller sets it.
  if (status.code() != absl::StatusCode::kUnavailable) {
    news_.error = Annotate(status, "the learner refuses this process");
  } else if (now - last_answer_ >= options_.give_up_after) {
    news_.error = absl::UnavailableError(
        absl::StrCat("the learner at ", options_.learner.address(), " has been unreachable for ",
                     absl::FormatDuration(now - last_answer_), ": ", status.message()));
  }
  if (!news_.error.ok()) {
    Log().error("leaving the run: {}", news_.error.ToString());
  } else if (news_.problem.empty()) {
    Log().warn("the learner is unreachable: {}", status.ToString());
  }
  news_.problem = AwayText(status);
  return news_.error.ok();
}

void RunClient::AwaitNextBeat() {
  MutexLock lock(&mu_);
  const absl::Duration interval =
      absl::Milliseconds(std::max<uint32_t>(1, news_.registration->heartbeat_ms()));
  const absl::Duration due = options_.clock->Now() + interval;
  while (!beat_now_ && !closing_) {
    if (!options_.clock->WaitUntil(&wake_, &mu_, due)) break;
  }
  beat_now_ = false;
}

void RunClient::SetCounters(const RunCounters& counters) {
  MutexLock lock(&mu_);
  counters_ = counters;
}

RunClient::News RunClient::news() const {
  MutexLock lock(&mu_);
  return news_;
}

bool RunClient::Started() const {
  MutexLock lock(&mu_);
  return started_;
}

std::string RunClient::run_id() const {
  MutexLock lock(&mu_);
  return news_.registration == nullptr ? "" : news_.registration->run_id();
}

absl::Status RunClient::ReportEvaluation(const proto::EvaluationAssignment& assignment,
                                         const std::vector<double>& returns,
                                         const std::vector<uint32_t>& decisions,
                                         absl::Duration give_up_after) {
  POMPC_CHECK(Started());
  POMPC_CHECK_EQ(returns.size(), decisions.size());
  proto::ReportEvaluationRequest request;
  request.set_evaluation_id(assignment.evaluation_id());
  *request.mutable_version() = assignment.version();
  request.mutable_returns()->Add(returns.begin(), returns.end());
  request.mutable_decisions()->Add(decisions.begin(), decisions.end());
  return RetryWhileUnavailable(options_.clock, &closed_, MakeRetry(options_, give_up_after),
                               [&] { return TryReport(request); });
}

absl::Status RunClient::TryReport(proto::ReportEvaluationRequest request) {
  {
    MutexLock lock(&mu_);
    if (!news_.error.ok()) return news_.error;
    *request.mutable_header() = rpc::MakeHeader(news_.registration->run_id());
    request.set_lease_id(news_.registration->lease_id());
  }
  absl::StatusOr<proto::ReportEvaluationReply> reply = AsUnavailable(
      rpc::CallUnary(*stub_, &Stub::ReportEvaluation, request, options_.call_timeout));
  MutexLock lock(&mu_);
  // Without waiting for the next heartbeat's turn an evaluator would idle for up to a second
  // between two evaluations. Told or not, the next heartbeat has news: another evaluation, or
  // another lease.
  beat_now_ = true;
  wake_.SignalAll();
  if (reply.ok()) {
    reported_.set_evaluation_id(request.evaluation_id());
    *reported_.mutable_version() = request.version();
    if (news_.evaluation.has_value() && SameEvaluation(*news_.evaluation, reported_)) {
      news_.evaluation.reset();
    }
    return absl::OkStatus();
  }
  if (reply.status().code() != absl::StatusCode::kNotFound) return reply.status();
  // The lease has ended. HeartbeatLoop registers again, and the retry comes with the new lease.
  if (news_.over()) return absl::CancelledError("the run is over");
  return absl::UnavailableError(reply.status().message());
}

void RunClient::SetWaiting(const std::string& waiting) {
  // Valid text, or the heartbeat could not be sent.
  std::string text = ShortText(waiting, kMaxText);
  MutexLock lock(&mu_);
  waiting_ = std::move(text);
}

void RunClient::Leave(const absl::Status& error) {
  POMPC_CHECK(closed_.IsSet(), "Close comes first");
  proto::HeartbeatRequest request;
  {
    MutexLock lock(&mu_);
    // A run that is over has no leases.
    if (news_.registration == nullptr || news_.over()) return;
    request = MakeHeartbeat();
  }
  request.set_leaving(true);
  if (!error.ok()) request.set_error(ShortText(error.message(), kMaxText));
  // Once, with a short deadline: a process that is told to end must not be held up by a learner
  // that is gone, which notices the silence anyway.
  const absl::Status left =
      rpc::CallUnary(*stub_, &Stub::Heartbeat, request, options_.leave_timeout).status();
  if (left.ok()) return;
  Log().info("the learner could not be told that this process ends: {}", left.ToString());
}

void RunClient::Close() {
  closed_.Set();
  {
    MutexLock lock(&mu_);
    closing_ = true;
    wake_.SignalAll();
  }
  // Several may close at once; a thread is joined by one.
  MutexLock lock(&thread_mu_);
  thread_.Join();
}

absl::StatusOr<proto::GetRunReply> GetRun(const rpc::Endpoint& learner, absl::Duration timeout) {
  const std::unique_ptr<Stub> stub = proto::RunService::NewStub(learner.Channel());
  proto::GetRunRequest request;
  *request.mutable_header() = rpc::MakeHeader("");
  return AsUnavailable(rpc::CallUnary(*stub, &Stub::GetRun, request, timeout));
}

absl::StatusOr<proto::StopRunReply> StopRun(const rpc::Endpoint& learner, const std::string& run_id,
                                            absl::Duration timeout) {
  const std::unique_ptr<Stub> stub = proto::RunService::NewStub(learner.Channel());
  proto::StopRunRequest request;
  *request.mutable_header() = rpc::MakeHeader(run_id);
  return AsUnavailable(rpc::CallUnary(*stub, &Stub::StopRun, request, timeout));
}

absl::StatusOr<proto::ChangeLimitsReply> ChangeLimits(const rpc::Endpoint& learner,
                                                      const std::string& run_id,
                                                      const proto::RunLimits& limits,
                                                      absl::Duration timeout) {
  const std::unique_ptr<Stub> stub = proto::RunService::NewStub(learner.Channel());
  proto::ChangeLimitsRequest request;
  *request.mutable_header() = rpc::MakeHeader(run_id);
  *request.mutable_limits() = limits;
  return AsUnavailable(rpc::CallUnary(*stub, &Stub::ChangeLimits, request, timeout));
}

absl::StatusOr<proto::SnapshotReplayReply> SnapshotReplay(const rpc::Endpoint& learner,
                                                          const std::string& run_id,
                                                          const std::string& name,
                                                          absl::Duration timeout) {
  const std::unique_ptr<Stub> stub = proto::RunService::NewStub(learner.Channel());
  proto::SnapshotReplayRequest request;
  *request.mutable_header() = rpc::MakeHeader(run_id);
  request.set_name(name);
  return rpc::CallUnary(*stub, &Stub::SnapshotReplay, request, timeout);
}

}  // namespace pompc::run
