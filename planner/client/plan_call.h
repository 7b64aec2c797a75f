#ifndef POMPC_PLANNER_CLIENT_PLAN_CALL_H_
#define POMPC_PLANNER_CLIENT_PLAN_CALL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/rpc/endpoint.h"
#include "grpcpp/client_context.h"
#include "planner/client/endpoint_picker.h"
#include "planner/client/planner_client.h"
#include "proto/planner.grpc.pb.h"

// What a PlannerClient keeps of its calls. Its lock guards all of it.

namespace pompc::planner {

// A planner that is, or was, in the list.
struct Planner {
  rpc::Endpoint endpoint;
  std::unique_ptr<proto::PlannerService::Stub> stub;

  const std::string& address() const { return endpoint.address(); }
};

struct Attempt;

// One call of Plan(), from its beginning to its callback.
struct Call {
  Call(const BackoffOptions& options, uint64_t seed) : backoff(options, seed) {}

  uint64_t id = 0;
  proto::PlanRequest request;
  PlannerClient::Callback callback;
  absl::Duration started;
  absl::Duration deadline;
  // The longest patience with one planner.
  absl::Duration patience;
  Backoff backoff;
  // Planners asked in this round.
  std::set<EndpointPicker::Id> tried;
  // Attempts so far that had too little time: they were given up for it, or refused by a planner
  // that was full, as far as the call has more.
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
  EndpointPicker::Id endpoint = 0;
  std::shared_ptr<const Planner> planner;
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

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CLIENT_PLAN_CALL_H_
