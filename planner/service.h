#ifndef POMPC_PLANNER_SERVICE_H_
#define POMPC_PLANNER_SERVICE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/threads.h"
#include "planner/core/batcher.h"
#include "planner/run_table.h"
#include "proto/planner.grpc.pb.h"

namespace pompc::planner {

// Turns messages into calls of the batcher, and its answers into messages. A call in progress holds
// no thread: a thread of the batcher finishes it. Thread-safe.
class PlannerService final : public proto::PlannerService::CallbackService {
 public:
  struct Options {
    // Longest time a request may wait for its batch, whatever its deadline.
    absl::Duration max_queue_wait;
    // The certificates of this process, for connections to the learners that Follow names; null:
    // plaintext.
    std::shared_ptr<const rpc::Certificates> certificates = nullptr;
    Clock* clock = Clock::Real();
    // PlanEngine::arithmetic of the batcher's engine.
    std::string arithmetic = {};
  };

  // `batcher` and `runs` must outlive the server this is registered with.
  PlannerService(Batcher* batcher, RunTable* runs, const Options& options)
      : batcher_(batcher), runs_(runs), options_(options) {}

  // The calls of proto/planner.proto. A planner that stops answers UNAVAILABLE, so that callers ask
  // another one.
  grpc::ServerUnaryReactor* Plan(grpc::CallbackServerContext* context,
                                 const proto::PlanRequest* request,
                                 proto::PlanReply* reply) override;
  grpc::ServerUnaryReactor* Info(grpc::CallbackServerContext* context,
                                 const proto::PlannerInfoRequest* request,
                                 proto::PlannerInfoReply* reply) override;
  grpc::ServerUnaryReactor* Follow(grpc::CallbackServerContext* context,
                                   const proto::FollowRequest* request,
                                   proto::FollowReply* reply) override;
  grpc::ServerUnaryReactor* Unfollow(grpc::CallbackServerContext* context,
                                     const proto::UnfollowRequest* request,
                                     proto::UnfollowReply* reply) override;

 private:
  class PlanReactor;

  // The batcher's calls for `request` of `run`, without their callbacks. INVALID_ARGUMENT or
  // UNAVAILABLE.
  absl::StatusOr<std::vector<PlanCall>> MakeCalls(const grpc::CallbackServerContext& context,
                                                  const proto::PlanRequest& request,
                                                  const PlannerRun& run) const;
  absl::Status DoFollow(const proto::FollowRequest& request);

  Batcher* const batcher_;
  RunTable* const runs_;
  const Options options_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_SERVICE_H_
