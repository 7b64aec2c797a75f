#include "planner/client/planner_client.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/retry.h"
#include "common/process/log.h"
#include "common/rpc/call.h"
#include "grpcpp/channel.h"
#include "planner/client/plan_call.h"

namespace pompc::planner {
namespace {

using Id = EndpointPicker::Id;

EndpointPickerOptions PickerOptions(const PlannerClientOptions& options) {
  EndpointPickerOptions picker = options.picker;
  picker.sticky = options.sticky;
  picker.seed = options.seed;
  return picker;
}

// A call whose time is short is not asked of everybody at once.
constexpr absl::Duration kLeastPatience = absl::Milliseconds(1);

// Another planner may answer, or the same one later. Whether a run is there differs between
// planners, and in time.
bool MayPass(const absl::Status& status) { return IsPassing(status) || absl::IsNotFound(status); }

// The plan that was ready last made the answer as late as it was.
Answer AnswerOf(const proto::PlanReply& reply, absl::Duration latency) {
  Answer answer = {.latency = latency};
  uint64_t longest = 0;
  for (const proto::Plan& plan : reply.plans()) {
    const uint64_t took = uint64_t{plan.queue_us()} + plan.compute_us();
    if (took < longest) continue;
    longest = took;
    answer.queue = absl::Microseconds(plan.queue_us());
    answer.per_query = absl::Microseconds(plan.compute_us()) / std::max(plan.batch_size(), 1u);
  }
  return answer;
}

}  // namespace

// A call that has not ended has attempts in flight, or stands in retries_. Whoever takes it out of
// calls_ runs its callback, without the lock.
class PlannerClient::Impl {
 public:
  explicit Impl(const PlannerClientOptions& options)
      : options_(options),
        picker_(PickerOptions(options)),
        jitter_(options.seed),
        thread_("plan-retry", [this] { RunDueLoop(); }) {
    SetPlanners(options.planners);
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

  void SetPlanners(const std::vector<rpc::Endpoint>& endpoints) {
    MutexLock lock(&mu_);
    std::erase_if(planners_, [&](const auto& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      const bool gone = std::count(endpoints.begin(), endpoints.end(), entry.second->endpoint) == 0;
      if (gone) picker_.Remove(entry.first);
      return gone;
    });
    bool added = false;
    for (const rpc::Endpoint& endpoint : endpoints) {
      const auto same = [&](const auto& entry) { return entry.second->endpoint == endpoint; };
      if (std::any_of(planners_.begin(), planners_.end(), same)) continue;
      planners_[picker_.Add()] = std::make_shared<const Planner>(
          Planner{endpoint, proto::PlannerService::NewStub(endpoint.Channel())});
      added = true;
    }
    if (added) RetryNow();
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
  bool HasSeveral() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return picker_.size() > 1; }

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
    call->patience = std::max(timeout * options_.patience_share, kLeastPatience);
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

  // The next planner; a pause where there is none to ask just now.
  void AskNext(const std::shared_ptr<Call>& call, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (picker_.size() == 0) NotePlannersMissing(*call);
    const std::optional<Id> endpoint = picker_.Pick(call->tried, now);
    if (!endpoint.has_value()) return Pause(*call, now);
    Attempt* const first = Send(call, *endpoint, Attempt::Kind::kFirst, now);
    if (!HasSeveral()) return;
    const std::optional<Id> probe = picker_.PickProbe(now);
    if (!probe.has_value()) return;
    // Where all are avoided, the call itself is the probe.
    Attempt* const prober =
        *probe == *endpoint ? first : Send(call, *probe, Attempt::Kind::kProbe, now);
    prober->probes = true;
  }

  void NotePlannersMissing(Call& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    call.last_error = absl::UnavailableError("no planner is known");
    reason_ = call.last_error.ToString();
  }

  // gRPC never calls back within the call that starts an attempt, so this may hold the lock; and it
  // does, so that Close finds every attempt.
  Attempt* Send(const std::shared_ptr<Call>& call, Id endpoint, Attempt::Kind kind,
                absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    auto made = std::make_unique<Attempt>();
    Attempt* const attempt = made.get();
    attempt->id = next_attempt_++;
    attempt->call = call;
    attempt->kind = kind;
    attempt->endpoint = endpoint;
    attempt->planner = planners_.at(endpoint);
    attempt->started = now;
    attempts_[attempt->id] = std::move(made);
    call->tried.insert(endpoint);
    if (kind != Attempt::Kind::kProbe) {
      call->attempts.push_back(attempt);
      Watch(*attempt, now);
    }
    picker_.Sent(endpoint, call->queries(), now);
    attempt->context.set_deadline(rpc::DeadlineAfter(TimeoutOf(*attempt, now)));
    attempt->planner->stub->async()->Plan(
        &attempt->context, &call->request, &attempt->reply,
        [this, id = attempt->id](const grpc::Status& status) { OnAttemptDone(id, status); });
    return attempt;
  }

  // Where there are other planners, an attempt leaves them half of the time that the call has left,
  // unless the planner is known to need more.
  absl::Duration TimeoutOf(const Attempt& attempt, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const Call& call = *attempt.call;
    const absl::Duration measured = picker_.MeasuredPatience(attempt.endpoint);
    absl::Duration timeout = std::max(FullTimeout(call), 2 * measured);
    // A probe may outlive its call, but until it ends there is no other.
    if (attempt.kind == Attempt::Kind::kProbe)
      return std::min(timeout, std::max(options_.attempt_timeout, call.deadline - call.started));
    const absl::Duration left = call.deadline - now;
    if (HasSeveral()) timeout = std::min(timeout, std::max(left / 2, measured));
    return std::min(timeout, left);
  }

  // An attempt's timeout by what became of those before it.
  absl::Duration FullTimeout(const Call& call) const {
    return options_.attempt_timeout * std::exp2(call.timeouts);
  }

  // Has the attempt hedged when patience with it, from `since` on, is over: that with the planner,
  // or that of the call.
  void Watch(Attempt& attempt, absl::Duration since) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    attempt.watched_since = since;
    watched_[attempt.endpoint].emplace(since, attempt.id);
    urgent_.emplace(since + attempt.call->patience, attempt.id);
    WakeIfEarlier();
  }
  void Unwatch(const Attempt& attempt) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto it = watched_.find(attempt.endpoint);
    if (it == watched_.end()) return;
    it->second.erase({attempt.watched_since, attempt.id});
    if (it->second.empty()) watched_.erase(it);
    urgent_.erase({attempt.watched_since + attempt.call->patience, attempt.id});
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
      } else if (!MayPass(status) && !MayAnswerElsewhere(*call, status)) {
        result = status;
        ended = Take(*call);
      } else if (!call->attempts.empty()) {
        // The call waits for the others, and they may be hedged once more.
        for (Attempt* other : call->attempts) Rewatch(*other, now);
      } else if (closed_) {
        result = ClosedError();
        ended = Take(*call);
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
    picker_.Ended(attempt->endpoint, attempt->call->queries(), attempt->started);
    return attempt;
  }

  absl::Status Succeeded(const Attempt& attempt, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const Answer answer = AnswerOf(attempt.reply, now - attempt.started);
    if (picker_.Succeeded(attempt.endpoint, answer, now)) {
      Log().info("planner {} answers again", attempt.planner->address());
    }
    reason_.clear();
    // The latencies may have become shorter.
    WakeIfEarlier();
    return absl::OkStatus();
  }

  // Notes a failed attempt; the error with the planner's address.
  absl::Status Failed(const Attempt& attempt, const grpc::Status& grpc_status, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const absl::Status status = rpc::WithServerHint(rpc::FromGrpc(grpc_status), attempt.context);
    const absl::Status error(status.code(), absl::StrCat("planner ", attempt.planner->address(),
                                                         ": ", status.message()));
    if (attempt.cancelled || closed_) return error;
    Call& call = *attempt.call;
    if (attempt.kind != Attempt::Kind::kProbe) call.last_error = error;
    if (!MayPass(status)) {
      // Elsewhere the request is at fault; a planner that is avoided stays so.
      if (attempt.probes || IsWrongPlanner(status)) picker_.Failed(attempt.endpoint, now);
      return error;
    }
    reason_ = error.ToString();
    if (attempt.counted) picker_.GiveBackHedge(call.queries());
    if (absl::IsDeadlineExceeded(status)) {
      ++call.timeouts;
      picker_.TimedOut(attempt.endpoint, now - attempt.started, now);
    } else if (absl::IsResourceExhausted(status)) {
      // What is too late for this attempt may be in time for the call: the next one waits longer,
      // or a call that needs more than an attempt's time would be refused until its end.
      if (FullTimeout(call) < call.deadline - attempt.started) ++call.timeouts;
      // Without a hint it is as good as the others in a moment.
      picker_.Full(attempt.endpoint, RetryAfter(status).value_or(absl::ZeroDuration()), now);
    } else {
      picker_.Failed(attempt.endpoint, now);
    }
    return error;
  }

  // It serves other runs, or is no planner at all, for as long as it is what it is.
  static bool IsWrongPlanner(const absl::Status& status) {
    return IsLasting(status) && !absl::IsInvalidArgument(status);
  }

  // Another planner may be a right one: one that the call is waiting for, or has not asked yet.
  bool MayAnswerElsewhere(const Call& call, const absl::Status& status) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!IsWrongPlanner(status)) return false;
    return !call.attempts.empty() ||
           std::any_of(planners_.begin(), planners_.end(),
                       [&](const auto& entry) { return !call.tried.contains(entry.first); });
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
                 other->planner->address(),
                 absl::FormatDuration(absl::Trunc(now - other->started, absl::Milliseconds(1))));
      FailOver(other->endpoint, now);
    }
    return call;
  }

  // Everything that waits for this planner alone is asked of others.
  void FailOver(Id endpoint, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto it = watched_.find(endpoint);
    if (it == watched_.end()) return;
    const Watched late = it->second;
    for (const auto& [since, id] : late) Hedge(*attempts_.at(id), /*bounded=*/false, now);
  }

  // Asks a second planner, if there is one that is not avoided.
  void Hedge(Attempt& attempt, bool bounded, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const std::shared_ptr<Call> call = attempt.call;
    std::set<Id> asked;
    for (const Attempt* other : call->attempts) asked.insert(other->endpoint);
    const std::optional<Id> endpoint = picker_.PickHealthy(asked, now);
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

  // The end of a round. Planners that are full have said when it is worth asking again.
  void Pause(Call& call, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    call.tried.clear();
    absl::Duration pause = call.backoff.Next();
    if (const std::optional<absl::Duration> full_until = picker_.FullUntil(now)) {
      pause = (*full_until - now) * std::uniform_real_distribution<double>(1, 1.5)(jitter_);
    }
    RetryAt(call, std::min(now + pause, call.deadline));
    WakeIfEarlier();
  }

  void RetryAt(Call& call, absl::Duration when) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    call.retry_at = when;
    retries_.emplace(when, call.id);
  }

  // There is a planner that the calls which pause have not asked.
  void RetryNow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const absl::Duration now = options_.clock->Now();
    for (const auto& [when, id] : std::exchange(retries_, {})) RetryAt(*calls_.at(id), now);
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
    if (!urgent_.empty()) due = std::min(due, urgent_.begin()->first);
    for (const auto& [endpoint, attempts] : watched_) {
      due = std::min(due, attempts.begin()->first + picker_.Patience(endpoint));
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
    // A hedge is watched as well, which changes what is gone through here.
    std::set<uint64_t> late;
    for (const auto& [endpoint, attempts] : watched_) {
      const absl::Duration patience = picker_.Patience(endpoint);
      for (const auto& [since, id] : attempts) {
        if (since + patience > now) break;
        late.insert(id);
      }
    }
    for (const auto& [when, id] : urgent_) {
      if (when > now) break;
      late.insert(id);
    }
    for (const uint64_t id : late) Hedge(*attempts_.at(id), /*bounded=*/true, now);
  }

  const PlannerClientOptions options_;

  mutable Mutex mu_;
  // A call or an attempt is gone, or a callback has returned; and: the thread has to look again.
  CondVar changed_;
  CondVar due_;
  EndpointPicker picker_ ABSL_GUARDED_BY(mu_);
  // Those that the picker has.
  std::map<Id, std::shared_ptr<const Planner>> planners_ ABSL_GUARDED_BY(mu_);
  std::mt19937_64 jitter_ ABSL_GUARDED_BY(mu_);
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t next_attempt_ ABSL_GUARDED_BY(mu_) = 1;
  // Those that have not ended, by id.
  std::map<uint64_t, std::shared_ptr<Call>> calls_ ABSL_GUARDED_BY(mu_);
  // Those in flight, by id.
  std::map<uint64_t, std::unique_ptr<Attempt>> attempts_ ABSL_GUARDED_BY(mu_);
  // The attempts in flight that are not hedged, by planner, and by the time at which the patience
  // of their calls is over.
  std::map<Id, Watched> watched_ ABSL_GUARDED_BY(mu_);
  Watched urgent_ ABSL_GUARDED_BY(mu_);
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

void PlannerClient::SetPlanners(const std::vector<rpc::Endpoint>& planners) {
  impl_->SetPlanners(planners);
}

PlannerClient::Waiting PlannerClient::waiting() const { return impl_->waiting(); }

void PlannerClient::Close() { impl_->Close(); }

}  // namespace pompc::planner
