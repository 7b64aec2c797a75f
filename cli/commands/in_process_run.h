#ifndef POMPC_CLI_COMMANDS_IN_PROCESS_RUN_H_
#define POMPC_CLI_COMMANDS_IN_PROCESS_RUN_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "actor/app.h"
#include "common/base/threads.h"
#include "common/base/turns.h"
#include "common/metrics/metrics.h"
#include "common/rpc/discovery.h"
#include "common/rpc/endpoint.h"
#include "learner/app.h"
#include "planner/app.h"
#include "planner/client/run_announcer.h"
#include "proto/config.pb.h"
#include "proto/planner.pb.h"
#include "proto/run.pb.h"
#include "replay/app.h"
#include "replay/client/data_set_import.h"

namespace pompc::cli {

struct InProcessRunOptions {
  // The resolved config, with env.spec.
  proto::RunConfig config;
  std::string run_dir;
  int shards = 2;
  // Folder of the models that are not built in; if empty, env::DefaultAssetFolder().
  std::string assets;
  // The device on which learner and planner compute: cpu, cuda or cuda:N.
  std::string device = "cpu";
  // CPU threads of one operation of the learner.
  int threads = 1;
  // CPU threads that plan; 0 means one per core.
  int plan_threads = 0;
  // Planners that make the run's plans instead of one of this process; each was started with
  // --accept-runs, and reaches the learner at the address that `listen` leads to.
  std::vector<rpc::Endpoint> planners;
  // Actors of a fleet (actor/fleet.h), which find the run at these planners, step its environments
  // instead of an actor of this process; shards then serve ports of the host of `listen`.
  bool fleet = false;
  // A port that the learner serves as well, "host:port"; if empty, it serves this process alone.
  std::string listen;
  // Both are as in rpc::ServerOptions, for these ports.
  std::shared_ptr<const rpc::Certificates> certificates;
  bool insecure = false;
  std::shared_ptr<MetricsRegistry> metrics = std::make_shared<MetricsRegistry>();
};

// All roles of a run in one process: shards, learner, planner, an actor and an evaluator, the same
// objects that the separate programs run, connected by in-process channels. With options.planners
// other processes plan, which serve the run for as long as this object lives. A run that learns
// offline has no actor, and no evaluator where it makes no evaluations; with options.fleet the
// actors are others'. Thread-safe.
class InProcessRun {
 public:
  // Starts the roles in the order in which they need each other. Returns the status of the first
  // one that does not start. With the schedule LOCKSTEP it fails with FAILED_PRECONDITION if one of
  // options.planners makes other plans than this process would, and with UNAVAILABLE if one cannot
  // be asked within a minute. REQUIRES: one shard at least, and a run directory; with planners a
  // port to listen on; with a fleet planners, and the schedule CONCURRENT.
  static absl::StatusOr<std::unique_ptr<InProcessRun>> Start(const InProcessRunOptions& options);
  // Calls Stop.
  ~InProcessRun();

  // Returns config and status of the run, as the learner's GetRun does.
  absl::StatusOr<proto::GetRunReply> Get();
  const learner::App& learner() const { return *learner_; }

  // Set once the run is over: it has finished, or a role has failed.
  Event* over() { return &over_; }
  // The error of the role that failed first; OK if none has.
  absl::Status error() const;

  // Ends all roles: those that collect first, so that nothing waits in vain; the learner makes a
  // last checkpoint. Blocks for some seconds at most. Idempotent.
  void Stop();

 private:
  InProcessRun() = default;

  absl::Status StartShards(const InProcessRunOptions& options);
  absl::Status StartLearner(const InProcessRunOptions& options,
                            std::shared_ptr<learner::Engine> engine);
  absl::Status StartPlanner(const InProcessRunOptions& options);
  // What the run wants of the actors of a fleet now.
  proto::ActorDemand Demand() const;
  // The places at which actors find planners.
  std::vector<rpc::Place> PlannersOf(const InProcessRunOptions& options) const;
  absl::Status StartActors(const InProcessRunOptions& options);
  absl::Status AwaitActor();
  // Starts a thread that waits until the app ends by itself.
  template <typename App>
  void Watch(const char* name, App* app, bool ends_the_run);

  // Learner and actor take turns here if the schedule is LOCKSTEP.
  Turns turns_{Clock::Real()};
  MetricSource certificate_metrics_;
  // The rows with which replay begins.
  std::vector<replay::CheckedDataSet> data_sets_;
  std::vector<std::unique_ptr<replay::App>> shards_;
  std::vector<rpc::Endpoint> shard_endpoints_;
  std::unique_ptr<learner::App> learner_;
  rpc::Endpoint learner_endpoint_;
  // One of them: the planner of this process, or what has others serve the run.
  std::unique_ptr<planner::App> planner_;
  std::unique_ptr<planner::RunAnnouncer> announcer_;
  std::unique_ptr<actor::App> actor_;
  std::unique_ptr<actor::App> evaluator_;
  Event over_;

  mutable Mutex mu_;
  absl::Status error_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  // Last: they use everything above.
  std::vector<Thread> watchers_;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_COMMANDS_IN_PROCESS_RUN_H_
