#ifndef POMPC_RUN_RUN_CLIENT_H_
#define POMPC_RUN_RUN_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/base/random_id.h"
#include "common/base/threads.h"
#include "common/rpc/endpoint.h"
#include "proto/run.grpc.pb.h"
#include "run/control/names.h"

namespace pompc::run {

struct RunClientOptions {
  rpc::Endpoint learner;
  proto::Role role = proto::ACTOR;
  // Names this process in the learner's status, for example host:pid.
  std::string name;
  // Environments this process steps (actors).
  uint32_t environments = 0;
  Clock* clock = Clock::Real();
  // The deadline of each call.
  absl::Duration call_timeout = absl::Seconds(5);
  // The deadline of the call that says that this process leaves.
  absl::Duration leave_timeout = absl::Seconds(1);
  // Between tries while the learner cannot be reached.
  BackoffOptions backoff;
  uint64_t seed = 1;
  // The id by which the learner recognises this process when it registers again.
  uint64_t process_id = RandomId();
  // Once registered: the learner may be away for this long, then the client gives up.
  absl::Duration give_up_after = absl::InfiniteDuration();
};

// What a process has done since it started, for its heartbeats.
struct RunCounters {
  uint64_t rows = 0;
  uint64_t episodes = 0;
  // The return of the newest finished episode; only with episodes > 0.
  double last_return = 0;
};

// The part of an actor or evaluator in a run: registers, keeps the lease with heartbeats, hears
// what the run wants and hands in evaluations. When the lease has ended (the learner restarted, or
// was out of reach for too long) it registers again by itself. Owns one thread from Start on;
// thread-safe.
class RunClient {
 public:
  // What the learner said last.
  struct News {
    // The present lease. Another one (larger incarnation) after it had ended: rows are then written
    // under the new index (the old one, unless another process has taken it), incarnation and
    // shards. Never null once registered.
    std::shared_ptr<const proto::RegisterReply> registration;
    proto::Phase phase = proto::PHASE_UNSPECIFIED;
    // Newest published version; (0, 0) before the first.
    proto::ParameterVersion version;
    // For evaluators: what to evaluate now.
    std::optional<proto::EvaluationAssignment> evaluation;
    // Why the learner cannot be reached just now, also before it was registered with; empty if it
    // can.
    std::string problem;
    // Not OK: this process has no part in the run any more (another run at this address, another
    // wire version, learner away for too long), and no more news come.
    absl::Status error;

    // True if the process is to end: the run is over, or `error`.
    bool over() const { return IsOver(phase) || !error.ok(); }
  };
  // Called on the client's thread after each exchange with the learner, one at a time; must not
  // call Close or the destructor.
  using OnNews = std::function<void(const News&)>;

  explicit RunClient(const RunClientOptions& options);
  ~RunClient();

  // Registers; while the learner is not there, waits and tries again until `give_up_after`. Blocks;
  // Close ends it. UNAVAILABLE: nobody was there; CANCELLED: closed; otherwise the learner's
  // refusal. Call once, before Start.
  absl::StatusOr<proto::RegisterReply> Register(absl::Duration give_up_after);

  // Begins the heartbeats; `on_news` may be empty. Call once. REQUIRES: registered.
  void Start(OnNews on_news = nullptr);

  // What the next heartbeat is to tell. The learner counts each row and episode once, whatever
  // becomes of the lease: a heartbeat tells what was added under its lease, beginning with what no
  // answered heartbeat of the lease before has told.
  void SetCounters(const RunCounters& counters);
  // What this process waits for, in words, for the next heartbeat; empty: it does not wait.
  void SetWaiting(const std::string& waiting);

  News news() const;

  // Hands in the result of `assignment`, one return and one number of decisions per episode. Tries
  // again while the learner is away, under a new lease if need be, until `give_up_after`: an
  // evaluation counts once however often it is told. Returns the learner's refusal
  // (FAILED_PRECONDITION: it does not wait for this evaluation any more), UNAVAILABLE when there
  // was no answer in time, CANCELLED when closed. Blocks; REQUIRES: Start was called.
  absl::Status ReportEvaluation(const proto::EvaluationAssignment& assignment,
                                const std::vector<double>& returns,
                                const std::vector<uint32_t>& decisions,
                                absl::Duration give_up_after);

  // Ends the heartbeats and waits for the thread. The lease ends by itself, later. Idempotent.
  void Close();
  // Tells the learner that this process ends, with `error` or because it was told to (OK), so that
  // its lease ends at once and people read why. Tries once: a learner that does not answer within
  // leave_timeout finds out by itself. Nothing happens where there is no lease (any more).
  // REQUIRES: closed.
  void Leave(const absl::Status& error);

 private:
  absl::Status TryRegister();
  void HeartbeatLoop();
  absl::Status Beat();
  // With the lease and what was done under it.
  proto::HeartbeatRequest MakeHeartbeat() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Updates the news after an exchange; false when there is nothing more to do.
  bool TakeIn(const absl::Status& status);
  // Waits until the next heartbeat is due, somebody wants one at once, or the client is closed.
  void AwaitNextBeat();
  absl::Status TryReport(proto::ReportEvaluationRequest request);
  bool Started() const;
  std::string run_id() const;

  const RunClientOptions options_;
  const std::unique_ptr<proto::RunService::Stub> stub_;
  Event closed_;
  OnNews on_news_;
  Mutex thread_mu_;
  Thread thread_ ABSL_GUARDED_BY(thread_mu_);

  mutable Mutex mu_;
  CondVar wake_;
  bool beat_now_ ABSL_GUARDED_BY(mu_) = false;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  // Start was called.
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  News news_ ABSL_GUARDED_BY(mu_);
  RunCounters counters_ ABSL_GUARDED_BY(mu_);
  std::string waiting_ ABSL_GUARDED_BY(mu_);
  // Those of the last heartbeat that was answered, and of the last one before the present lease.
  RunCounters told_counters_ ABSL_GUARDED_BY(mu_);
  RunCounters counters_before_lease_ ABSL_GUARDED_BY(mu_);
  // The evaluation told last.
  proto::EvaluationAssignment reported_ ABSL_GUARDED_BY(mu_);
  // When the learner last answered.
  absl::Duration last_answer_ ABSL_GUARDED_BY(mu_);
};

// One call each, for tools. UNAVAILABLE when nobody is there, or gives no answer for a reason that
// may pass; other codes are refusals.
absl::StatusOr<proto::GetRunReply> GetRun(const rpc::Endpoint& learner, absl::Duration timeout);
// Asks the learner to end its run.
absl::StatusOr<proto::StopRunReply> StopRun(const rpc::Endpoint& learner, const std::string& run_id,
                                            absl::Duration timeout);
// Changes the limits that are present in `limits`, or only reads them if none is. INVALID_ARGUMENT
// and FAILED_PRECONDITION: refused, for the reason given.
absl::StatusOr<proto::ChangeLimitsReply> ChangeLimits(const rpc::Endpoint& learner,
                                                      const std::string& run_id,
                                                      const proto::RunLimits& limits,
                                                      absl::Duration timeout);
// Lets all shards of the run make a snapshot of this name. The status is that of the call in
// proto/run.proto.
absl::StatusOr<proto::SnapshotReplayReply> SnapshotReplay(const rpc::Endpoint& learner,
                                                          const std::string& run_id,
                                                          const std::string& name,
                                                          absl::Duration timeout);

}  // namespace pompc::run

#endif  // POMPC_RUN_RUN_CLIENT_H_
