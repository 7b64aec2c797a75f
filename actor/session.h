#ifndef POMPC_ACTOR_SESSION_H_
#define POMPC_ACTOR_SESSION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actor/core/rollout.h"
#include "actor/core/stats.h"
#include "actor/planner_plan_source.h"
#include "actor/writer_row_sink.h"
#include "common/base/occasionally.h"
#include "common/base/threads.h"
#include "common/rpc/discovery.h"
#include "common/rpc/endpoint.h"
#include "proto/run.pb.h"
#include "replay/client/trajectory_writer.h"

namespace pompc::actor {

struct SessionOptions {
  // The lease under which the rows are written, with the run's config.
  proto::RegisterReply lease;
  // Finds the run's planners. Must outlive the session.
  rpc::Discovery* planners = nullptr;
  // The run's shards, in the run's order.
  std::vector<rpc::Endpoint> replay;
  // The threads that the environments are divided among. The stats have as many workers.
  int threads = 1;
  // The turns of a run whose schedule is LOCKSTEP, else null. Must outlive the session.
  Turns* turns = nullptr;
};

// An actor's work under one lease: its environments, which a few threads step, with a client of the
// planners and a writer to the shards. Run belongs to one thread; the rest is thread-safe. Does not
// own stats and clock.
class Session {
 public:
  // Makes the environments, and connects in the background. Fails with FAILED_PRECONDITION if the
  // run has another number of shards or another schedule, with INVALID_ARGUMENT if its config lacks
  // what the writer needs, and as the factory does.
  static absl::StatusOr<std::unique_ptr<Session>> Make(const SessionOptions& options,
                                                       const EnvironmentFactory& factory,
                                                       ActorStats* stats, Clock* clock);
  ~Session();

  // Acts until Stop is called (OK) or a rollout fails (its error). REQUIRES: it is called once.
  absl::Status Run();
  // Waits until the shards have acknowledged all rows. Fails with DEADLINE_EXCEEDED after
  // `timeout`. Rows that are left are lost with the session.
  absl::Status Flush(absl::Duration timeout) { return writer_->Flush(timeout); }
  void SetPhase(proto::Phase phase);
  // Idempotent.
  void Stop();

  // Returns what the session waits for at present, in words; empty when it waits for nothing.
  std::string Waiting() const;

 private:
  Session(const SessionOptions& options, ActorStats* stats, Clock* clock);
  absl::StatusOr<std::unique_ptr<replay::TrajectoryWriter>> MakeWriter(ActorStats* stats,
                                                                       Clock* clock);
  absl::Status RunRollout(Rollout* rollout);
  // Divides the environments evenly among the threads. With turns there is one thread.
  absl::Status MakeRollouts(const EnvironmentFactory& factory, ActorStats* stats, Clock* clock);

  const SessionOptions options_;
  const int environments_;
  // Used by the thread that calls Run.
  bool ran_ = false;
  std::unique_ptr<PlannerPlanSource> plans_;
  std::vector<std::unique_ptr<Rollout>> rollouts_;
  // For each environment, the rollout that is told about room in replay and about refusals.
  std::vector<RowSinkListener*> listeners_;
  // Used by the writer's thread alone: limits how often refusals are logged.
  Occasionally refusals_{absl::Seconds(30)};
  std::unique_ptr<replay::TrajectoryWriter> writer_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_SESSION_H_
