#ifndef POMPC_LEARNER_FEED_SHARD_MANAGER_H_
#define POMPC_LEARNER_FEED_SHARD_MANAGER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/base/occasionally.h"
#include "common/base/threads.h"
#include "learner/feed/shard_clients.h"
#include "replay/client/data_set_import.h"
#include "run/control/run_control.h"

namespace pompc::learner {

struct ShardManagerOptions {
  std::string run_id;
  // Tells this start of the learner from others of the same run.
  replay::LearnerStart start;
  // The run's shards, in its order.
  std::vector<rpc::Endpoint> shards;
  // Resolved; as ShardClients wants it.
  proto::RunConfig config;
  // The rows with which replay begins: each shard gets its part before it is granted rows for the
  // first time, and again when it has lost its memory.
  std::vector<replay::CheckedDataSet> data_sets;
  // The interval at which each shard is told how many rows it may take.
  absl::Duration grant_interval;
  // Deadline of one call.
  absl::Duration timeout;
  // Pauses between attempts to reach a shard.
  BackoffOptions backoff = {.initial = absl::Milliseconds(50), .max = absl::Seconds(1)};
  Clock* clock = Clock::Real();
  // The first shard has agreed to the settings; `control` has not heard of it yet. Called once at
  // most, by whoever reached the shard. May not call the manager.
  std::function<void()> on_agreed;
  // A shard that has never answered refuses this run (it serves another one, or other sizes):
  // --replay or the settings are wrong. Or any shard is held by another start of this run's
  // learner. Called once at most, from one of the manager's threads. May not call Close. A shard
  // that has answered before and refuses now has been taken by another run; it is tried again like
  // one that is unreachable.
  std::function<void(const absl::Status&)> on_refused;
};

// Keeps the run's shards working: configures each, first and whenever it is reachable again, passes
// on what `control` grants and reports its state to `control`. Each shard has a thread of its own,
// so that one which hangs holds up no other. Thread-safe.
class ShardManager {
 public:
  // `control` must outlive this.
  ShardManager(const ShardManagerOptions& options, run::RunControl* control);
  // Closes.
  ~ShardManager();

  // The clients of the shards, which others may use as well.
  ShardClients& clients() { return clients_; }

  // Has every shard told what `control` grants now, without waiting for it.
  void GrantNow();

  // Has `control` know how every shard is now: what was stored before the call is counted when it
  // returns. The error of a shard that does not answer.
  absl::Status Refresh();

  // Cancels all calls to the shards, those of other users too, and ends the threads. Idempotent.
  void Close();

 private:
  // One exchange with a shard at a time, so that no older answer comes after a newer one.
  struct Link {
    Mutex mu;
    // It was configured since it was last lost.
    bool configured ABSL_GUARDED_BY(mu) = false;
    // It said in the last exchange that it loads its rows.
    bool loading ABSL_GUARDED_BY(mu) = false;
    // It has answered at least once.
    bool answered ABSL_GUARDED_BY(mu) = false;
    // What it has yet to get of the data sets.
    std::vector<replay::DataSetImport> imports ABSL_GUARDED_BY(mu);
    // Limits how often its refusals are logged.
    Occasionally refusals ABSL_GUARDED_BY(mu){absl::Seconds(30)};
  };

  void Run(int shard);
  // Waits until `pause` is over, there is something new to grant (then `*told` follows), or Close.
  // False after Close.
  bool Pause(absl::Duration pause, uint64_t* told);
  absl::Status Exchange(int shard);
  absl::Status ExchangeLocked(int shard, Link* link) ABSL_EXCLUSIVE_LOCKS_REQUIRED(link->mu);
  // Makes one step of the imports that are not done and tells the control how far they are.
  absl::Status Import(int shard, Link* link) ABSL_EXCLUSIVE_LOCKS_REQUIRED(link->mu);
  // True if another exchange is to follow at once.
  bool Importing(int shard);
  // Ends the learner with the refusal of a shard.
  void Refused(int shard, const absl::Status& status);
  // The shard did not answer, or refused: says so and tells the control.
  void LoseLocked(int shard, const absl::Status& status, Link* link)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(link->mu);
  // After an exchange that failed. False if the shard is not to be tried again.
  bool MayTryAgain(int shard, const absl::Status& status);
  // Calls on_agreed, the first time.
  void TellAgreed();
  // True if the refusal means that another run has taken the shard; logs that now and then.
  bool TakenByOthers(int shard, const absl::Status& refusal);

  const ShardManagerOptions options_;
  run::RunControl* const control_;

  Mutex mu_;
  CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  bool agreed_ ABSL_GUARDED_BY(mu_) = false;
  bool refused_ ABSL_GUARDED_BY(mu_) = false;
  // Calls of GrantNow.
  uint64_t news_ ABSL_GUARDED_BY(mu_) = 0;

  ShardClients clients_;
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<Thread> threads_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_FEED_SHARD_MANAGER_H_
