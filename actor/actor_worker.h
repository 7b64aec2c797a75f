#ifndef POMPC_ACTOR_ACTOR_WORKER_H_
#define POMPC_ACTOR_ACTOR_WORKER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actor/core/stats.h"
#include "actor/session.h"
#include "actor/worker.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace pompc::actor {

struct ActorWorkerOptions {
  std::vector<rpc::Endpoint> planners;
  std::vector<rpc::Endpoint> replay;
  int threads = 1;
  // How long Stop lets rows wait that no shard has acknowledged. When the run is over, or the lease
  // has ended, nobody wants them.
  absl::Duration flush_timeout = absl::Seconds(1);
  // As of SessionOptions.
  Turns* turns = nullptr;
};

// Acts: one session after the other, each under the lease that holds at its start. A lease that
// ends while the learner is away takes its session's episodes with it; the next session starts new
// ones. Does not own stats and clock.
class ActorWorker : public Worker {
 public:
  ActorWorker(const ActorWorkerOptions& options, EnvironmentFactory factory, ActorStats* stats,
              Clock* clock);

  absl::Status Run() override;
  void OnNews(const run::RunClient::News& news) override;
  void Stop() override;
  std::string Waiting() override;

 private:
  // Waits for the first news. Null when there is nothing (more) to do.
  std::shared_ptr<const proto::RegisterReply> AwaitLease();
  // Ends the present session if what the learner said asks for it.
  void Follow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool done() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopped_ || news_.over(); }

  const ActorWorkerOptions options_;
  const EnvironmentFactory factory_;
  ActorStats* const stats_;
  Clock* const clock_;

  Mutex mu_;
  CondVar changed_;
  run::RunClient::News news_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  // The session that runs, and its lease.
  std::shared_ptr<Session> session_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const proto::RegisterReply> lease_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_ACTOR_WORKER_H_
