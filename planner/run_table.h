#ifndef POMPC_PLANNER_RUN_TABLE_H_
#define POMPC_PLANNER_RUN_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/base/threads.h"
#include "common/rpc/endpoint.h"
#include "parameters/parameter_subscriber.h"
#include "planner/core/planner_run.h"
#include "proto/planner.pb.h"

namespace pompc::planner {

// INVALID_ARGUMENT for what is no id of a run, or of no run if it is empty: more than 256 bytes, or
// control characters. Ids come from other processes, and go to logs, labels and error messages.
absl::Status CheckRunId(absl::string_view run_id);

struct RunTableOptions {
  // Most learners that are followed, and so most runs held.
  size_t max_runs = 16;
  // Learners may be named while the planner runs, too.
  bool accept_guests = false;
  // Versions kept for evaluations beside the newest, at most, of each run.
  size_t max_kept_versions = 8;
  // A learner that was named by Follow(kGuest) and cannot be reached for so long is followed no
  // more.
  absl::Duration give_up_after = absl::Minutes(10);
  // A run that was asked for so lately is not dropped to make room for another.
  absl::Duration in_use = absl::Minutes(1);
  // What a run wants of actors is forgotten if it is not renewed for so long.
  absl::Duration demand_lasts = absl::Seconds(30);
  // What every ParameterSubscriber is given.
  std::string name;
  BackoffOptions backoff;
  uint64_t seed = 1;
  absl::Duration wrong_peer_timeout = absl::Seconds(10);
  Clock* clock = Clock::Real();
  // Makes the model of a published version; blocks.
  std::function<absl::StatusOr<std::shared_ptr<const PlannerModel>>(
      const parameters::ParameterSnapshot&)>
      load;
  // Called when a run has its first parameters; may be empty.
  std::function<void(const parameters::ParameterSnapshot&)> on_first;
  // Called when a host's address is no learner's (ParameterSubscriberOptions::on_wrong_peer).
  std::function<void(const absl::Status&)> on_wrong_peer;
};

// The runs that a planner serves: it follows the parameters of one learner for each. Runs come when
// their learner is named, and go when they are unfollowed, when their learner moved (its run is
// taken over with its parameters), or to make room for another, the one that was not asked for
// longest. Thread-safe. Owns a thread for each learner, and one that ends these.
class RunTable {
 public:
  enum class Origin {
    // Named when the planner was started: followed for as long as it lives.
    kHost,
    // Named while it runs.
    kGuest,
  };

  // A learner that is followed, or was until it was gone for too long, and its run.
  struct Entry {
    std::string learner;
    // Empty, and `run` null, until known.
    std::string run_id;
    std::shared_ptr<PlannerRun> run;
    // False once the learner was gone for too long.
    bool followed = false;
    parameters::ParameterSubscriber::Status status;
    // What it wants of the actors of a fleet, if it has said so lately.
    std::optional<proto::ActorDemand> demand;
  };

  // REQUIRES: options.load is given; max_runs is at least 1.
  explicit RunTable(RunTableOptions options);
  // Closes.
  ~RunTable();

  // Follows a learner, from now on or already. `run_id`: the run that is expected there; empty: the
  // one that is there. `demand`: what the run wants of the actors of a fleet, if it takes any.
  // RESOURCE_EXHAUSTED when max_runs are followed and all are in use,
  // FAILED_PRECONDITION for a guest where none are accepted or whose run is a host's, CANCELLED
  // after Close. REQUIRES: the endpoint is not empty; CheckRunId(run_id) is ok.
  absl::Status Follow(const rpc::Endpoint& learner, const std::string& run_id, Origin origin,
                      std::optional<proto::ActorDemand> demand = std::nullopt);

  // Drops a run and its parameters; requests that wait are still planned. NOT_FOUND if it is not
  // here, FAILED_PRECONDITION if its learner was named by kHost.
  absl::Status Unfollow(const std::string& run_id);

  // The run of a request, which counts as being asked for. NOT_FOUND naming the runs that are here,
  // or the first of them, FAILED_PRECONDITION if the run cannot come any more; UNAVAILABLE if none
  // are here yet.
  absl::StatusOr<std::shared_ptr<PlannerRun>> Find(const std::string& run_id);

  // All, in the order in which they were named.
  std::vector<Entry> List() const;

  // True if a run has parameters.
  bool HasParameters() const;

  // Gives up learners that were gone for too long, as the table's thread does now and then.
  void Sweep();

  // Follows no learner any more; runs remain. Blocks as long as a load. Idempotent.
  void Close();

 private:
  struct Follower;
  using FollowerPtr = std::shared_ptr<Follower>;

  absl::Status Take(Follower& follower, const parameters::ParameterSnapshot& snapshot);
  // The run of the follower, of which a version has come; null if it is not listed any more.
  std::shared_ptr<PlannerRun> Adopt(Follower& follower, const std::string& run_id);
  void CountTaken(uint64_t bytes);
  void OnWrongPeer(Follower& follower, const absl::Status& status);
  std::unique_ptr<parameters::ParameterSubscriber> Subscribe(const FollowerPtr& follower);
  // True if the follower gets this run of this learner, as far as is known.
  static bool Follows(const Follower& follower, const rpc::Endpoint& learner,
                      const std::string& run_id);
  // The quoted ids of the runs that have parameters.
  std::vector<std::string> RunsHere() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  FollowerPtr FindFollower(const std::string& run_id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes it out of the list and leaves its subscriber to the thread.
  void Drop(const FollowerPtr& follower) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The same for one that is not known to be in the list.
  void DropCaller(const Follower& follower) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Run();

  const RunTableOptions options_;

  mutable Mutex mu_;
  CondVar changed_;
  std::vector<FollowerPtr> followers_ ABSL_GUARDED_BY(mu_);
  // Subscribers to be ended by the thread: that takes as long as a load, and a subscriber cannot
  // end itself.
  std::vector<std::unique_ptr<parameters::ParameterSubscriber>> ended_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  // Bytes of parameters taken since freed memory was returned; when it is returned next.
  uint64_t taken_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Duration return_memory_at_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();

  Mutex join_mu_;
  // Last: it uses all of the above.
  Thread thread_ ABSL_GUARDED_BY(join_mu_);
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_RUN_TABLE_H_
