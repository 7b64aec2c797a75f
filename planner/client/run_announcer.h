#ifndef POMPC_PLANNER_CLIENT_RUN_ANNOUNCER_H_
#define POMPC_PLANNER_CLIENT_RUN_ANNOUNCER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/threads.h"
#include "common/rpc/endpoint.h"
#include "proto/planner.pb.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace pompc::planner {

struct RunAnnouncerOptions {
  std::string run_id;
  // The address of the run's learner as the planners reach it, "host:port".
  std::string learner;
  // Says what the run wants of the actors of a fleet; empty if it takes none. Called before each
  // announcement, by the announcer's thread.
  std::function<std::optional<proto::ActorDemand>()> demand;
  // The planners; each must have been started with --accept-runs.
  std::vector<rpc::Endpoint> planners;
  // The pause before the learner is named again.
  absl::Duration renew = absl::Seconds(5);
  // The longest time that a call may take.
  absl::Duration timeout = absl::Seconds(2);
  Clock* clock = Clock::Real();
};

// Has planners that serve several runs serve one more, for as long as this object lives: it names
// the run's learner to each of them again and again, because a planner that restarts knows none.
// What a planner answers, such as that it has no room, goes to the log once. At the end it lets
// them drop the run, so that its place is free for the next one. Thread-safe; owns a thread.
class RunAnnouncer {
 public:
  // REQUIRES: there are planners; run_id and learner are not empty.
  explicit RunAnnouncer(RunAnnouncerOptions options);
  // Blocks for some seconds at most, however many planners do not answer.
  ~RunAnnouncer();

 private:
  void Run();
  void Announce();
  void Withdraw();

  const RunAnnouncerOptions options_;
  Event stop_;
  // The channel to each planner, and what it last said. The thread alone uses the second.
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::string> said_;

  // Last: it uses all of the above.
  Thread thread_;
};

// Asks a planner what it serves and computes with. Waits for a planner that cannot be reached yet,
// until `give_up` has passed. Fails with the planner's address and what the last attempt said.
absl::StatusOr<proto::PlannerInfoReply> AwaitPlannerInfo(const rpc::Endpoint& planner,
                                                         absl::Duration give_up, Clock* clock);

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CLIENT_RUN_ANNOUNCER_H_
