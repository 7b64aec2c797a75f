#include "planner/client/planner_client.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/event.h"
#include "common/mutex.h"
#include "common/rpc/deadline.h"
#include "common/rpc/status.h"
#include "common/rpc/wire.h"
#include "common/thread.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "planner/client/endpoint_picker.h"
#include "proto/planner.grpc.pb.h"

namespace pompc::planner {
namespace {

// One call of Plan(), from its beginning to its callback.
struct Call {
  Call(const BackoffOptions& options, uint64_t seed) : backoff(options, seed) {}

  proto::PlanRequest request;
  PlannerClient::Callback callback;
  absl::Duration started;
  absl::Duration deadline;
  Backoff backoff;
  // Planners asked in this round.
  std::vector<bool> tried;
  // The newest failure, with the planner's address.
  absl::Status last_error;

  // The attempt in flight; there is at most one.
  struct Attempt {
    size_t endpoint = 0;
    grpc::ClientContext context;
    proto::PlanReply reply;
  };
  std::unique_ptr<Attempt> attempt;
};

// Failures that another planner, or the same one later, may not have.
bool IsTransient(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kResourceExhausted ||
         code == absl::StatusCode::kDeadlineExceeded || code == absl::StatusCode::kCancelled;
}

}  // namespace

// A call is in exactly one place: an attempt in flight, or retries_. Whoever takes it out of calls_
// runs its callback, without the lock.
class PlannerClient::Impl {
 public:
  explicit Impl(const PlannerClientOptions& options)
      : options_(options),
        picker_(options.planners.size(), options.sticky, options.avoid_after_failure),
        thread_("plan-retry", [this] { RetryLoop(); }) {
    // An address may stand for several replicas; an evaluator stays with one.
    rpc::ChannelOptions channel;
    channel.balance = options.sticky ? rpc::ChannelOptions::Balance::kPickFirst
                                     : rpc::ChannelOptions::Balance::kRoundRobin;
    for (const rpc::Endpoint& planner : options.planners) {
      stubs_.push_back(proto::PlannerService::NewStub(planner.Channel(channel)));
    }
  }

  ~Impl() { Close(); }

  void Plan(proto::PlanRequest request, absl::Duration timeout, Callback callback) {
    absl::Status refused;
    uint64_t id = 0;
    {
      MutexLock lock(&mu_);
      if (closed_) {
        refused = absl::CancelledError("the planner client is closed");
      } else if (static_cast<int>(calls_.size()) >= options_.max_calls) {
        refused = absl::ResourceExhaustedError(
            absl::StrCat(options_.max_calls, " calls wait for plans already"));
      } else {
        id = AddCall(std::move(request), timeout, callback);
      }
    }
    if (!refused.ok()) return callback(refused);
    StartAttempt(id);
  }

  Waiting waiting() const {
    MutexLock lock(&mu_);
    Waiting waiting;
    waiting.calls = static_cast<int>(calls_.size());
    waiting.pausing = static_cast<int>(retries_.size());
    waiting.reason = reason_;
    // Ids are given in the order of time.
    if (!calls_.empty()) waiting.longest = options_.clock->Now() - calls_.begin()->second->started;
    return waiting;
  }

  void Close() {
    std::vector<Callback> cancelled;
    {
      MutexLock lock(&mu_);
      closed_ = true;
      for (const auto& [when, id] : retries_) cancelled.push_back(Take(id)->callback);
      retries_.clear();
      for (const auto& [id, call] : calls_) {
        if (call->attempt != nullptr) call->attempt->context.TryCancel();
      }
      changed_.SignalAll();
    }
    for (const Callback& callback : cancelled) Run(callback, ClosedError());
    {
      MutexLock lock(&mu_);
      while (!calls_.empty() || running_callbacks_ > 0) changed_.Wait(&mu_);
    }
    MutexLock lock(&join_mu_);
    thread_.Join();
  }

 private:
  static absl::Status ClosedError() { return absl::CancelledError("the planner client closed"); }

  uint64_t AddCall(proto::PlanRequest request, absl::Duration timeout, const Callback& callback)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const uint64_t id = next_id_++;
    auto call = std::make_unique<Call>(options_.backoff, options_.seed + id);
    call->request = std::move(request);
    *call->request.mutable_header() = rpc::MakeHeader(options_.run_id);
    call->callback = callback;
    call->started = options_.clock->Now();
    call->deadline = call->started + timeout;
    call->tried.assign(options_.planners.size(), false);
    calls_[id] = std::move(call);
    return id;
  }

  // Takes a call out; its callback counts as running until Run() is through with it.
  std::unique_ptr<Call> Take(uint64_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto it = calls_.find(id);
    std::unique_ptr<Call> call = std::move(it->second);
    calls_.erase(it);
    ++running_callbacks_;
    return call;
  }

  void Run(const Callback& callback, absl::StatusOr<proto::PlanReply> result) {
    callback(std::move(result));
    MutexLock lock(&mu_);
    --running_callbacks_;
    changed_.SignalAll();
  }

  // Asks the next planner, or ends the call when its time is up.
  void StartAttempt(uint64_t id) {
    std::unique_ptr<Call> ended;
    absl::Status status;
    {
      MutexLock lock(&mu_);
      Call& call = *calls_.at(id);
      const absl::Duration now = options_.clock->Now();
      if (closed_) {
        status = ClosedError();
      } else if (now >= call.deadline) {
        status = TimeIsUp(call, now);
      }
      if (status.ok()) {
        SendAttempt(id, call, now);
        return;
      }
      ended = Take(id);
    }
    Run(ended->callback, status);
  }

  // gRPC never calls back within the call that starts an attempt, so this may hold the lock; and it
  // does, so that Close finds every attempt.
  void SendAttempt(uint64_t id, Call& call, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::optional<size_t> endpoint = picker_.Pick(call.tried, now);
    if (!endpoint.has_value()) {
      // A new round.
      call.tried.assign(call.tried.size(), false);
      endpoint = picker_.Pick(call.tried, now);
    }
    call.tried[*endpoint] = true;
    call.attempt = std::make_unique<Call::Attempt>();
    call.attempt->endpoint = *endpoint;
    call.attempt->context.set_deadline(
        rpc::DeadlineAfter(std::min(options_.attempt_timeout, call.deadline - now)));
    stubs_[*endpoint]->async()->Plan(
        &call.attempt->context, &call.request, &call.attempt->reply,
        [this, id](grpc::Status status) { OnAttemptDone(id, status); });
  }

  // On a thread of gRPC.
  void OnAttemptDone(uint64_t id, const grpc::Status& status) {
    std::unique_ptr<Call> ended;
    absl::StatusOr<proto::PlanReply> result;
    bool again = false;
    {
      MutexLock lock(&mu_);
      Call& call = *calls_.at(id);
      const std::unique_ptr<Call::Attempt> attempt = std::move(call.attempt);
      if (status.ok()) {
        picker_.Succeeded(attempt->endpoint);
        reason_.clear();
        result = std::move(attempt->reply);
      } else {
        result = Failed(call, attempt->endpoint, rpc::FromGrpc(status));
      }
      if (!result.ok() && IsTransient(result.status().code()) && !closed_) {
        again = !RoundIsOver(call);
        if (!again) ScheduleRetry(id, call);
      } else {
        if (!result.ok() && closed_) result = ClosedError();
        ended = Take(id);
      }
    }
    if (again) StartAttempt(id);
    if (ended != nullptr) Run(ended->callback, std::move(result));
  }

  // Notes a failed attempt; the error with the planner's address.
  absl::Status Failed(Call& call, size_t endpoint, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const absl::Status error(
        status.code(),
        absl::StrCat("planner ", options_.planners[endpoint].address(), ": ", status.message()));
    call.last_error = error;
    if (!IsTransient(status.code())) return error;
    reason_ = error.ToString();
    // One that is merely full is as good as the others in a moment.
    if (!absl::IsResourceExhausted(status)) picker_.Failed(endpoint, options_.clock->Now());
    return error;
  }

  static bool RoundIsOver(const Call& call) {
    return std::find(call.tried.begin(), call.tried.end(), false) == call.tried.end();
  }

  void ScheduleRetry(uint64_t id, Call& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const absl::Duration when = options_.clock->Now() + call.backoff.Next();
    retries_.emplace(std::min(when, call.deadline), id);
    changed_.SignalAll();
  }

  static absl::Status TimeIsUp(const Call& call, absl::Duration now) {
    std::string why = absl::StrCat("no plan after ", absl::FormatDuration(now - call.started));
    if (!call.last_error.ok()) absl::StrAppend(&why, "; last: ", call.last_error.ToString());
    return absl::DeadlineExceededError(why);
  }

  void RetryLoop() {
    while (true) {
      uint64_t id = 0;
      {
        MutexLock lock(&mu_);
        while (!closed_ && (retries_.empty() || retries_.begin()->first > options_.clock->Now())) {
          const absl::Duration next =
              retries_.empty() ? absl::InfiniteDuration() : retries_.begin()->first;
          options_.clock->WaitUntil(&changed_, &mu_, next);
        }
        if (closed_) return;
        id = retries_.begin()->second;
        retries_.erase(retries_.begin());
      }
      StartAttempt(id);
    }
  }

  const PlannerClientOptions options_;
  std::vector<std::unique_ptr<proto::PlannerService::Stub>> stubs_;

  mutable Mutex mu_;
  CondVar changed_;
  EndpointPicker picker_ ABSL_GUARDED_BY(mu_);
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  std::map<uint64_t, std::unique_ptr<Call>> calls_ ABSL_GUARDED_BY(mu_);
  // Calls that pause, by the time of their next attempt.
  std::multimap<absl::Duration, uint64_t> retries_ ABSL_GUARDED_BY(mu_);
  int running_callbacks_ ABSL_GUARDED_BY(mu_) = 0;
  std::string reason_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;

  Mutex join_mu_;
  // Last: it uses all of the above.
  Thread thread_ ABSL_GUARDED_BY(join_mu_);
};

PlannerClient::PlannerClient(const PlannerClientOptions& options)
    : impl_(std::make_unique<Impl>(options)) {}

PlannerClient::~PlannerClient() = default;

void PlannerClient::Plan(proto::PlanRequest request, absl::Duration timeout, Callback callback) {
  impl_->Plan(std::move(request), timeout, std::move(callback));
}

absl::StatusOr<proto::PlanReply> PlannerClient::PlanBlocking(proto::PlanRequest request,
                                                             absl::Duration timeout) {
  Event done;
  absl::StatusOr<proto::PlanReply> result;
  Plan(std::move(request), timeout, [&](absl::StatusOr<proto::PlanReply> reply) {
    result = std::move(reply);
    done.Set();
  });
  done.Wait();
  return result;
}

PlannerClient::Waiting PlannerClient::waiting() const { return impl_->waiting(); }

void PlannerClient::Close() { impl_->Close(); }

}  // namespace pompc::planner
