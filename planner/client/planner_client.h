#ifndef POMPC_PLANNER_CLIENT_PLANNER_CLIENT_H_
#define POMPC_PLANNER_CLIENT_PLANNER_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/base/threads.h"
#include "common/rpc/endpoint.h"
#include "planner/client/endpoint_picker.h"
#include "proto/planner.pb.h"

namespace pompc::planner {

struct PlannerClientOptions {
  // The planners at the beginning, each once. There may be none: calls then wait until there are.
  std::vector<rpc::Endpoint> planners;
  // Run the plans are for.
  std::string run_id;
  // Stays with the planner that answered last (for evaluators).
  bool sticky = false;
  Clock* clock = Clock::Real();
  // Between one round over all planners and the next.
  BackoffOptions backoff = {absl::Milliseconds(20), absl::Seconds(1), 2.0};
  // An attempt without an answer for so long is given up, and asked for again: each of a call waits
  // twice as long as the one before, and longer than the planner was measured to take. The same
  // follows a planner's RESOURCE_EXHAUSTED, as it may mean that this time is too short. Where there
  // are several planners, an attempt takes at most half of the time that its call has left, unless
  // its planner was measured to need more.
  absl::Duration attempt_timeout = absl::Seconds(10);
  // The part of a call's time after which a second planner is asked as well, whatever patience with
  // the first would be.
  double patience_share = 0.25;
  // Which planner is asked, when one is avoided, and when a second one is asked as well. `sticky`
  // and `seed` are filled in.
  EndpointPickerOptions picker;
  // Called with the number of queries that are sent to a second planner because the first has not
  // answered in time; may be empty. Must not block nor call the client.
  std::function<void(size_t)> on_hedge;
  // One more call is refused with RESOURCE_EXHAUSTED.
  int max_calls = 4096;
  // The seed of the choices and of the jitter.
  uint64_t seed = 1;
};

// Asks the planners of a run for plans, those that answer sooner more often (EndpointPicker).
// UNAVAILABLE, NOT_FOUND (the planner does not hold the run), RESOURCE_EXHAUSTED, CANCELLED and an
// attempt's timeout lead to the next planner, and after one round to a jittered pause; other errors
// are the caller's. A planner that says after which time it will have room is not asked before
// that; where all say so, the pause is the shortest of these times.
//
// Where there are several planners, one that is slow holds nobody up: when an answer is later than
// the planner's latencies so far let expect, another planner is asked as well, and the first answer
// counts; the other attempt is cancelled. Such hedges are bounded to a share of the queries. A
// planner that was outrun and has answered nothing meanwhile is taken to hang: what else it has to
// answer is asked of others at once, and it is avoided, but for a copy of a request now and then,
// until it answers one. Plans are pure functions of their request, so asking twice is harmless.
//
// Owns one thread (for retries and hedges); calls in flight hold none. Thread-safe.
class PlannerClient {
 public:
  // Called exactly once, on a thread of the client or of gRPC, or within Plan() when the call is
  // refused at once; must not block.
  using Callback = std::function<void(absl::StatusOr<proto::PlanReply>)>;

  // Who waits for planners just now.
  struct Waiting {
    // Calls without an answer so far.
    int calls = 0;
    // The calls among these that pause because no planner could answer.
    int pausing = 0;
    // The time for which the oldest of them has been waiting.
    absl::Duration longest;
    // Why the newest failed attempt failed, with the planner's address; empty once an attempt
    // succeeded.
    std::string reason;
  };

  explicit PlannerClient(const PlannerClientOptions& options);
  // Closes.
  ~PlannerClient();

  // Asks for a plan and returns at once; retries until `timeout` has passed. The client fills in
  // request.header. The callback gets DEADLINE_EXCEEDED (with the last failure) when time is up,
  // INVALID_ARGUMENT or FAILED_PRECONDITION as a planner answered, RESOURCE_EXHAUSTED when
  // max_calls wait already, CANCELLED after Close.
  void Plan(proto::PlanRequest request, absl::Duration timeout, Callback callback);

  // Replaces the list of planners; those that stay in it are the same planners as before. One that
  // is left out gets no new requests, and those in flight end as usual. Does not block.
  void SetPlanners(const std::vector<rpc::Endpoint>& planners);

  Waiting waiting() const;

  // Ends all calls with CANCELLED; when it returns, every callback has returned. Must not be called
  // from a callback. Idempotent.
  void Close();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CLIENT_PLANNER_CLIENT_H_
