#include "planner/client/planner_client.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/retry.h"
#include "common/process/log.h"
#include "common/rpc/call.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "proto/planner.grpc.pb.h"

namespace pompc::planner {
namespace {

struct Attempt;

// One call of Plan(), from its beginning to its callback.
struct Call {
  Call(const BackoffOptions& options, uint64_t seed) : backoff(options, seed) {}

  uint64_t id = 0;
  proto::PlanRequest request;
  PlannerClient::Callback callback;
  absl::Duration started;
  absl::Duration deadline;
  Backoff backoff;
  // Planners asked in this round.
  std::vector<bool> tried;
  // Attempts given up for their time so far.
  int timeouts = 0;
  // The newest failure, with the planner's address.
  absl::Status last_error;
  // When it asks again, while it pauses.
  std::optional<absl::Duration> retry_at;
  // The attempts in flight, probes apart; at most one at each planner.
  std::vector<Attempt*> attempts;
  // Its callback was or is being called; attempts may outlive that.
  bool ended = false;

  size_t queries() const { return static_cast<size_t>(request.queries_size()); }
};

// One request to one planner.
struct Attempt {
  enum class Kind {
    kFirst,  // there was no other in flight
    kHedge,  // another was in flight for too long
    kProbe,  // to learn whether an avoided planner answers; it may outlive its call
  };

  uint64_t id = 0;
  // gRPC reads its request.
  std::shared_ptr<Call> call;
  Kind kind = Kind::kFirst;
  size_t endpoint = 0;
  absl::Duration started;
  // Since when patience counts: from its start, or from when it was last found to be late.
  absl::Duration watched_since;
  // Its planner is avoided and sent no other probe until this one has ended: a probe, or the only
  // attempt of a call where all planners are avoided.
  bool probes = false;
  // A hedge that counts against the share of hedges.
  bool counted = false;
  // Another was faster.
  bool cancelled = false;
  grpc::ClientContext context;
  proto::PlanReply reply;
};

EndpointPickerOptions PickerOptions(const PlannerClientOptions& options) {
  EndpointPickerOptions picker = options.picker;
  picker.endpoints = options.planners.size();
  picker.sticky = options.sticky;
  return picker;
}

}  // namespace

// A call that has not ended has attempts in flight, or stands in retries_. Whoever takes it out of
// calls_ runs its callback, without the lock.
class PlannerClient::Impl {
 public:
  explicit Impl(const PlannerClientOptions& options)
      : options_(options),
        picker_(PickerOptions(options)),
        watched_(options.planners.size()),
        thread_("plan-retry", [this] { RunDueLoop(); }) {
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
    std::shared_ptr<Call> call;
    {
      MutexLock lock(&mu_);
      if (closed_) {
        refused = absl::CancelledError("the planner client is closed");
      } else if (static_cast<int>(calls_.size()) >= options_.max_calls) {
        refused = absl::ResourceExhaustedError(
            absl::StrCat(options_.max_calls, " calls wait for plans already"));
      } else {
        call = AddCall(std::move(request), timeout, callback);
      }
    }
    if (!refused.ok()) return callback(refused);
    StartAttempt(call);
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
      while (!retries_.empty()) {
        cancelled.push_back(Take(*calls_.at(retries_.begin()->second))->callback);
      }
      for (const auto& [id, attempt] : attempts_) attempt->context.TryCancel();
      due_.Signal();
    }
    for (const Callback& callback : cancelled) Run(callback, ClosedError());
    {
      MutexLock lock(&mu_);
      while (!calls_.empty() || !attempts_.empty() || running_callbacks_ > 0) changed_.Wait(&mu_);
    }
    MutexLock lock(&join_mu_);
    thread_.Join();
  }

 private:
  // The attempts in the order in which patience with them began, then by id.
  using Watched = std::set<std::pair<absl::Duration, uint64_t>>;

  static absl::Status ClosedError() { return absl::CancelledError("the planner client closed"); }
  bool HasSeveral() const { return options_.planners.size() > 1; }

  std::shared_ptr<Call> AddCall(proto::PlanRequest request, absl::Duration timeout,
                                const Callback& callback) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const uint64_t id = next_id_++;
    auto call = std::make_shared<Call>(options_.backoff, options_.seed + id);
    call->id = id;
    call->request = std::move(request);
    *call->request.mutable_header() = rpc::MakeHeader(options_.run_id);
    call->callback = callback;
    call->started = options_.clock->Now();
    call->deadline = call->started + timeout;
    call->tried.assign(options_.planners.size(), false);
    calls_[id] = call;
    picker_.Asked(call->queries());
    return call;
  }

  // Takes a call out; its callback counts as running until Run() is through with it. What is still
  // in flight for it is cancelled, but for probes.
  std::shared_ptr<Call> Take(Call& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto it = calls_.find(call.id);
    POMPC_CHECK(it != calls_.end() && !call.ended, "a call ends once");
    std::shared_ptr<Call> taken = std::move(it->second);
    calls_.erase(it);
    taken->ended = true;
    if (taken->retry_at.has_value()) retries_.erase({*taken->retry_at, taken->id});
    for (Attempt* attempt : taken->attempts) {
      Unwatch(*attempt);
      attempt->cancelled = true;
      attempt->context.TryCancel();
    }
    ++running_callbacks_;
    return taken;
  }

  void Run(const Callback& callback, absl::StatusOr<proto::PlanReply> result) {
    callback(std::move(result));
    MutexLock lock(&mu_);
    POMPC_CHECK_GT(running_callbacks_, 0);
    --running_callbacks_;
    changed_.SignalAll();
  }

  // Asks the next planner, or ends the call when its time is up. REQUIRES: it has no attempt in
  // flight.
  void StartAttempt(const std::shared_ptr<Call>& call) {
    absl::Status status;
    {
      MutexLock lock(&mu_);
      // A probe may have been answered meanwhile.
      if (call->ended) return;
      POMPC_CHECK(call->attempts.empty() && !call->retry_at.has_value());
      const absl::Duration now = options_.clock->Now();
      if (closed_) {
        status = ClosedError();
      } else if (now >= call->deadline) {
        status = TimeIsUp(*call, now);
      }
      if (status.ok()) {
        AskNext(call, now);
        return;
      }
      Take(*call);
    }
    Run(call->callback, status);
  }

  void AskNext(const std::shared_ptr<Call>& call, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::optional<size_t> endpoint = picker_.Pick(call->tried, now);
    if (!endpoint.has_value()) {
      // A new round.
      call->tried.assign(call->tried.size(), false);
      endpoint = picker_.Pick(call->tried, now);
    }
    POMPC_CHECK(endpoint.has_value(), "there is a planner at least");
    Attempt* const first = Send(call, *endpoint, Attempt::Kind::kFirst, now);
    if (!HasSeveral()) return;
    const std::optional<size_t> probe = picker_.PickProbe(now);
    if (!probe.has_value()) return;
    // Where all are avoided, the call itself is the probe.
    Attempt* const prober =
        *probe == *endpoint ? first : Send(call, *probe, Attempt::Kind::kProbe, now);
    prober->probes = true;
  }

  // gRPC never calls back within the call that starts an attempt, so this may hold the lock; and it
  // does, so that Close finds every attempt.
  Attempt* Send(const std::shared_ptr<Call>& call, size_t endpoint, Attempt::Kind kind,
                absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    auto made = std::make_unique<Attempt>();
    Attempt* const attempt = made.get();
    attempt->id = next_attempt_++;
    attempt->call = call;
    attempt->kind = kind;
    attempt->endpoint = endpoint;
    attempt->started = now;
    attempts_[attempt->id] = std::move(made);
    call->tried[endpoint] = true;
    absl::Duration timeout = std::max(options_.attempt_timeout * std::exp2(call->timeouts),
                                      2 * picker_.MeasuredPatience(endpoint));
    if (kind != Attempt::Kind::kProbe) {
      timeout = std::min(timeout, call->deadline - now);
      call->attempts.push_back(attempt);
      Watch(*attempt, now);
    }
    attempt->context.set_deadline(rpc::DeadlineAfter(timeout));
    stubs_[endpoint]->async()->Plan(
        &attempt->context, &call->request, &attempt->reply,
        [this, id = attempt->id](const grpc::Status& status) { OnAttemptDone(id, status); });
    return attempt;
  }

  // Has the attempt hedged when patience with it, from `since` on, is over.
  void Watch(Attempt& attempt, absl::Duration since) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!HasSeveral()) return;
    attempt.watched_since = since;
    watched_[attempt.endpoint].emplace(since, attempt.id);
    WakeIfEarlier();
  }
  void Unwatch(const Attempt& attempt) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    watched_[attempt.endpoint].erase({attempt.watched_since, attempt.id});
  }

  // On a thread of gRPC.
  void OnAttemptDone(uint64_t id, const grpc::Status& grpc_status) {
    std::shared_ptr<Call> again, ended;
    absl::StatusOr<proto::PlanReply> result;
    {
      MutexLock lock(&mu_);
      const absl::Duration now = options_.clock->Now();
      const std::unique_ptr<Attempt> attempt = RemoveAttempt(id);
      const std::shared_ptr<Call>& call = attempt->call;
      const absl::Status status =
          grpc_status.ok() ? Succeeded(*attempt, now) : Failed(*attempt, grpc_status, now);
      if (attempt->probes) picker_.ProbeEnded(attempt->endpoint);
      const bool probe = attempt->kind == Attempt::Kind::kProbe;
      if (call->ended || (probe && !status.ok())) {
        // The call has its answer, or waits for it from elsewhere.
        changed_.SignalAll();
      } else if (status.ok()) {
        result = std::move(attempt->reply);
        ended = Win(*attempt, now);
      } else if (!IsPassing(status)) {
        result = status;
        ended = Take(*call);
      } else if (!call->attempts.empty()) {
        // The call waits for the others, and they may be hedged once more.
        for (Attempt* other : call->attempts) Rewatch(*other, now);
      } else if (closed_) {
        result = ClosedError();
        ended = Take(*call);
      } else if (RoundIsOver(*call)) {
        ScheduleRetry(*call);
      } else {
        again = call;
      }
    }
    if (again != nullptr) StartAttempt(again);
    if (ended != nullptr) Run(ended->callback, std::move(result));
  }

  std::unique_ptr<Attempt> RemoveAttempt(uint64_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto it = attempts_.find(id);
    std::unique_ptr<Attempt> attempt = std::move(it->second);
    attempts_.erase(it);
    Unwatch(*attempt);
    std::erase(attempt->call->attempts, attempt.get());
    return attempt;
  }

  absl::Status Succeeded(const Attempt& attempt, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (picker_.Succeeded(attempt.endpoint, now - attempt.started, now)) {
      Log().info("planner {} answers again", options_.planners[attempt.endpoint].address());
    }
    reason_.clear();
    // The latencies may have become shorter.
    WakeIfEarlier();
    return absl::OkStatus();
  }

  // Notes a failed attempt; the error with the planner's address.
  absl::Status Failed(const Attempt& attempt, const grpc::Status& grpc_status, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const absl::Status status = rpc::FromGrpc(grpc_status);
    const absl::Status error(status.code(),
                             absl::StrCat("planner ", options_.planners[attempt.endpoint].address(),
                                          ": ", status.message()));
    if (attempt.cancelled || closed_) return error;
    Call& call = *attempt.call;
    if (attempt.kind != Attempt::Kind::kProbe) call.last_error = error;
    if (!IsPassing(status)) {
      // Elsewhere the request is at fault; a planner that is avoided stays so.
      if (attempt.probes) picker_.Failed(attempt.endpoint, now);
      return error;
    }
    reason_ = error.ToString();
    if (attempt.counted) picker_.GiveBackHedge(call.queries());
    if (absl::IsDeadlineExceeded(status)) {
      ++call.timeouts;
      picker_.TimedOut(attempt.endpoint, now - attempt.started, now);
    } else if (attempt.kind == Attempt::Kind::kProbe || !absl::IsResourceExhausted(status)) {
      // One that is merely full is as good as the others in a moment.
      picker_.Failed(attempt.endpoint, now);
    }
    return error;
  }

  // The attempt's answer is the call's; judges the planners that were asked before. The call, taken
  // out.
  std::shared_ptr<Call> Win(const Attempt& winner, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const std::vector<Attempt*> others = winner.call->attempts;
    std::shared_ptr<Call> call = Take(*winner.call);
    for (const Attempt* other : others) {
      if (other->started >= winner.started) continue;
      if (!picker_.Outrun(other->endpoint, other->started, now)) continue;
      Log().warn("planner {} has not answered for {}; requests go to others until it answers again",
                 options_.planners[other->endpoint].address(),
                 absl::FormatDuration(absl::Trunc(now - other->started, absl::Milliseconds(1))));
      FailOver(other->endpoint, now);
    }
    return call;
  }

  // Everything that waits for this planner alone is asked of others.
  void FailOver(size_t endpoint, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const Watched late = watched_[endpoint];
    for (const auto& [since, id] : late) Hedge(*attempts_.at(id), /*bounded=*/false, now);
  }

  // Asks a second planner, if there is one that is not avoided.
  void Hedge(Attempt& attempt, bool bounded, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const std::shared_ptr<Call> call = attempt.call;
    std::vector<bool> busy(options_.planners.size(), false);
    for (const Attempt* other : call->attempts) busy[other->endpoint] = true;
    const std::optional<size_t> endpoint = picker_.PickHealthy(busy, now);
    const bool may = endpoint.has_value() && now < call->deadline && !closed_ &&
                     (!bounded || picker_.TakeHedge(call->queries()));
    if (!may) return Rewatch(attempt, now);
    Unwatch(attempt);
    Send(call, *endpoint, Attempt::Kind::kHedge, now)->counted = bounded;
    if (options_.on_hedge) options_.on_hedge(call->queries());
  }

  void Rewatch(Attempt& attempt, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Unwatch(attempt);
    Watch(attempt, now);
  }

  static bool RoundIsOver(const Call& call) {
    return std::find(call.tried.begin(), call.tried.end(), false) == call.tried.end();
  }

  void ScheduleRetry(Call& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const absl::Duration when = options_.clock->Now() + call.backoff.Next();
    call.retry_at = std::min(when, call.deadline);
    retries_.emplace(*call.retry_at, call.id);
    WakeIfEarlier();
  }

  static absl::Status TimeIsUp(const Call& call, absl::Duration now) {
    std::string why = absl::StrCat("no plan after ", absl::FormatDuration(now - call.started));
    if (!call.last_error.ok()) absl::StrAppend(&why, "; last: ", call.last_error.ToString());
    return absl::DeadlineExceededError(why);
  }

  // When the thread has something to do next: a retry, or a hedge. Of each planner the attempt
  // watched longest is late first.
  absl::Duration NextDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    absl::Duration due = retries_.empty() ? absl::InfiniteDuration() : retries_.begin()->first;
    for (size_t i = 0; i < watched_.size(); ++i) {
      if (watched_[i].empty()) continue;
      due = std::min(due, watched_[i].begin()->first + picker_.Patience(i));
    }
    return due;
  }
  void WakeIfEarlier() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (NextDue() < sleeps_until_) due_.Signal();
  }

  void RunDueLoop() {
    while (true) {
      std::shared_ptr<Call> again;
      {
        MutexLock lock(&mu_);
        while (!closed_) {
          const absl::Duration due = NextDue();
          if (due <= options_.clock->Now()) break;
          sleeps_until_ = due;
          options_.clock->WaitUntil(&due_, &mu_, due);
        }
        // It is awake.
        sleeps_until_ = -absl::InfiniteDuration();
        if (closed_) return;
        const absl::Duration now = options_.clock->Now();
        if (!retries_.empty() && retries_.begin()->first <= now) {
          again = calls_.at(retries_.begin()->second);
          again->retry_at.reset();
          retries_.erase(retries_.begin());
        } else {
          HedgeLate(now);
        }
      }
      if (again != nullptr) StartAttempt(again);
    }
  }

  void HedgeLate(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    for (size_t i = 0; i < watched_.size(); ++i) {
      const absl::Duration patience = picker_.Patience(i);
      while (!watched_[i].empty() && watched_[i].begin()->first + patience <= now) {
        Hedge(*attempts_.at(watched_[i].begin()->second), /*bounded=*/true, now);
      }
    }
  }

  const PlannerClientOptions options_;
  std::vector<std::unique_ptr<proto::PlannerService::Stub>> stubs_;

  mutable Mutex mu_;
  // A call or an attempt is gone, or a callback has returned; and: the thread has to look again.
  CondVar changed_;
  CondVar due_;
  EndpointPicker picker_ ABSL_GUARDED_BY(mu_);
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t next_attempt_ ABSL_GUARDED_BY(mu_) = 1;
  // Those that have not ended, by id.
  std::map<uint64_t, std::shared_ptr<Call>> calls_ ABSL_GUARDED_BY(mu_);
  // Those in flight, by id.
  std::map<uint64_t, std::unique_ptr<Attempt>> attempts_ ABSL_GUARDED_BY(mu_);
  // The attempts in flight that are not hedged, by planner.
  std::vector<Watched> watched_ ABSL_GUARDED_BY(mu_);
  // Calls that pause, by the time at which they ask again.
  std::set<std::pair<absl::Duration, uint64_t>> retries_ ABSL_GUARDED_BY(mu_);
  // Until when the thread sleeps.
  absl::Duration sleeps_until_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
  std::string reason_ ABSL_GUARDED_BY(mu_);
  int running_callbacks_ ABSL_GUARDED_BY(mu_) = 0;
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

PlannerClient::Waiting PlannerClient::waiting() const { return impl_->waiting(); }

void PlannerClient::Close() { impl_->Close(); }

}  // namespace pompc::planner
