#ifndef POMPC_LEARNER_APP_H_
#define POMPC_LEARNER_APP_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/threads.h"
#include "common/metrics/metrics.h"
#include "common/rpc/server.h"
#include "learner/checkpoint_writer.h"
#include "learner/feed/data_sets.h"
#include "learner/feed/plan_writer.h"
#include "learner/feed/prefetcher.h"
#include "learner/feed/priority_writer.h"
#include "learner/feed/shard_manager.h"
#include "learner/monitor.h"
#include "learner/options.h"
#include "learner/ranks/rank_group.h"
#include "learner/ranks/rank_service.h"
#include "learner/status/status_board.h"
#include "learner/trainer.h"
#include "learner/training_log.h"
#include "parameters/parameter_service.h"
#include "parameters/publisher.h"
#include "run/control/run_control.h"
#include "run/service.h"
#include "rundir/event_file.h"
#include "rundir/run_directory.h"

namespace pompc::learner {

// The learner of one run: takes over its directory, trains, publishes parameters and is the run's
// control plane. Knows no difference between its own process and another's. Thread-safe.
class App {
 public:
  // INVALID_ARGUMENT as options.Validate(); statuses of rundir::RunDirectory::Open, RestoreNewest
  // and rpc::Server::Start.
  static absl::StatusOr<std::unique_ptr<App>> Start(AppOptions options);
  // Stops.
  ~App();

  // RunService, ParameterService and RankService.
  rpc::Server& server() { return *server_; }
  // "host:port" it listens on; empty when in-process only.
  const std::string& address() const { return server_->address(); }
  const std::string& run_id() const { return run_->run_id(); }
  const std::string& run_dir() const { return run_->path(); }

  // The run at this moment, for whoever shows progress.
  proto::RunStatus Status() const { return control_->Status(); }
  // The same as a web page, as the document behind it (docs/status.md), and the video at a position
  // of the document's list (StatusBoard).
  std::string StatusPage() const;
  std::string StatusJson() const;
  HttpPage StatusVideo(size_t position) const;
  // OK while it trains; otherwise why not.
  absl::Status Health() const;

  // Ends the run for everybody: phase STOPPING. Wait() then returns.
  void StopRun(const std::string& reason) { control_->Stop(reason); }

  // Blocks until the run is over and actors and evaluators know (for drain_timeout at most; OK, or
  // the error by which its last checkpoint or evaluations could not be written), until an error
  // ends this learner, or until Stop (OK). The learner keeps answering until Stop. An error does
  // not end the run: actors and evaluators wait until a learner resumes from the newest checkpoint.
  // UNAVAILABLE naming the rank when another rank was lost, FAILED_PRECONDITION when the run
  // directory was moved or deleted.
  absl::Status Wait();

  // Ends this learner; the run itself does not end and can be resumed. 1. Health says NOT_SERVING.
  // 2. Training ends with a checkpoint. 3. Calls to shards are cancelled. 4. The server shuts down.
  // 5. What has come in is written down. Idempotent; bounded by an update, the checkpoint and
  // stop_grace, with other ranks by the timeout of an exchange. While a shard makes a snapshot for
  // SnapshotReplay, 4. waits for that too, two minutes at most.
  void Stop();

 private:
  explicit App(AppOptions options) : options_(std::move(options)) {}

  absl::Status Begin();
  absl::Status Open();
  // The control's options with the limits that the run directory keeps.
  absl::StatusOr<run::RunControlOptions> ControlOptions(const proto::KeptLimits& kept) const;
  absl::Status Serve();
  absl::Status StartTraining(uint64_t restored_updates);
  // Lets one shard after the other make a snapshot and returns their folders. UNAVAILABLE once Stop
  // was called.
  absl::StatusOr<std::vector<std::string>> SnapshotReplay(const std::string& name) const;
  ShardManagerOptions MakeShardManagerOptions();
  // Makes config and limits of this start the run's.
  absl::Status KeepConfig();
  StatusBoardOptions MakeStatusBoardOptions() const;
  // Shows the status page what has happened. Called by the monitor.
  void Show(const std::vector<run::EpisodeNews>& episodes);
  void Train();
  // Writes down how this start ended, for those who read the run directory.
  void RecordEnd();
  // Ends this learner with an error. The run is not over by that: the next learner resumes it.
  void Fail(const absl::Status& status);

  const AppOptions options_;
  // The rows with which replay begins.
  std::vector<replay::CheckedDataSet> data_sets_;
  std::unique_ptr<rundir::RunDirectory> run_;
  // This start, by which shards know this learner and its other ranks.
  replay::LearnerStart start_;
  // What the checkpoint said from which this start resumed.
  uint64_t restored_rows_ = 0;
  uint64_t restored_incarnation_ = 0;
  // The run directory keeps changed limits.
  bool keeps_limits_ = false;
  std::unique_ptr<run::RunControl> control_;
  std::unique_ptr<parameters::Publisher> publisher_;
  std::unique_ptr<parameters::ParameterService> parameter_service_;
  std::unique_ptr<run::RunService> run_service_;
  // Streams of the service may hold it a little longer.
  std::shared_ptr<RankGroup> ranks_;
  std::shared_ptr<Rendezvous> rank_values_;
  std::unique_ptr<RankService> rank_service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<CheckpointWriter> checkpoints_;
  // Null unless the config asks for it.
  std::unique_ptr<rundir::EventFile> events_;
  std::unique_ptr<StatusBoard> board_;
  // Reads the trainer too, while it is not closed.
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<ShardManager> shards_;
  std::unique_ptr<Prefetcher> prefetcher_;
  std::unique_ptr<PlanWriter> plan_writer_;
  std::unique_ptr<PriorityWriter> priority_writer_;
  std::unique_ptr<TrainingLog> log_;
  std::unique_ptr<Trainer> trainer_;
  // Reads the members above.
  MetricSource metrics_;
  Thread training_;
  Event trained_;
  Event failed_;
  Event stopping_;

  mutable Mutex mu_;
  absl::Status error_ ABSL_GUARDED_BY(mu_);

  // Held while stopping.
  Mutex stop_mu_;
  bool stopped_ ABSL_GUARDED_BY(stop_mu_) = false;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_APP_H_
