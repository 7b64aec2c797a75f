#ifndef POMPC_ACTOR_FLEET_FLEET_H_
#define POMPC_ACTOR_FLEET_FLEET_H_

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actor/app.h"
#include "actor/options.h"
#include "common/base/threads.h"
#include "common/rpc/certificates.h"
#include "common/rpc/discovery.h"
#include "proto/planner.pb.h"

namespace pompc::actor {

struct FleetOptions {
  // What the actor is in every run. Its learner and shards are left empty: those of a run come with
  // what the run wants.
  AppOptions actor;
  // The certificates of this process; null: plaintext.
  std::shared_ptr<const rpc::Certificates> certificates;
  // The pause between two decisions about the run to serve, and that between two looks for one
  // while there is none. Actual pauses are 0.75 to 1.25 times as long, so that actors do not all
  // decide at once.
  absl::Duration decide_every = absl::Seconds(10);
  absl::Duration look_every = absl::Milliseconds(2500);
  // A run whose work ended here is left alone for this long: its planners may still name it.
  absl::Duration avoid_ended = absl::Minutes(1);
  // The run that is served may be unknown to its planners for so long, as after a restart of them.
  absl::Duration unknown_for = absl::Seconds(30);

  // INVALID_ARGUMENT naming a flag that has a bad value, and the allowed ones.
  absl::Status Validate() const;
};

// An actor process that belongs to no run: it serves one run after the other, whichever of those
// that its planners serve needs actors most (ChooseRun). In each it is an App, which begins with a
// lease and ends with its rows flushed. It goes on until it is stopped. Thread-safe.
class Fleet {
 public:
  // Fails with INVALID_ARGUMENT for bad options. Everything else happens in the background.
  static absl::StatusOr<std::unique_ptr<Fleet>> Start(FleetOptions options);
  // Calls Stop.
  ~Fleet();

  // Leaves the run as App::Stop does, and ends. Blocks for a few seconds at most. Idempotent.
  void Stop();
  // Blocks until Stop was called. Returns OK.
  absl::Status Wait();
  // Returns OK while it works for a run, or while its planners name none that wants actors; else
  // UNAVAILABLE saying why.
  absl::Status Health() const;
  // Returns which run it serves and how it fares there, as text for people.
  std::string StatusText() const;

 private:
  explicit Fleet(FleetOptions options);

  void Work();
  // The runs that want actors and may be served, by their id, as a planner that answers knows them.
  absl::StatusOr<std::map<std::string, proto::PlannerRunInfo>> AskPlanners();
  // Serves the run that is to be served from now on.
  void Decide();
  // Leaves the present run, if there is one.
  void Leave();
  absl::StatusOr<std::unique_ptr<App>> StartApp(const proto::PlannerRunInfo& run) const;
  void Join(const proto::PlannerRunInfo& run);
  // Returns whether the run that is served has other addresses than those at which it was joined.
  bool HasMoved(const proto::PlannerRunInfo& run) const;
  // Waits until it is time to decide, the work in the run has ended, or Stop was called.
  void Pause();

  const FleetOptions options_;
  rpc::Discovery planners_;
  Event stop_;
  Event done_;

  // Used by thread_ alone.
  std::mt19937_64 random_;
  std::map<std::string, absl::Duration> avoid_until_;
  // When a planner last named the run that is served, and how it did when that was joined.
  absl::Duration named_at_;
  proto::PlannerRunInfo joined_as_;

  mutable Mutex mu_;
  std::vector<rpc::Endpoint> endpoints_ ABSL_GUARDED_BY(mu_);
  // The run that is served and the work in it; empty and null while there is none.
  std::string run_id_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<App> app_ ABSL_GUARDED_BY(mu_);
  // The number of times that a run was joined.
  uint64_t joined_ ABSL_GUARDED_BY(mu_) = 0;
  // Why no run is served: no planner answers, or the last work ended with this error.
  absl::Status problem_ ABSL_GUARDED_BY(mu_) = absl::UnavailableError("no planner was asked yet");

  std::unique_ptr<rpc::Discovery::Watcher> watcher_;
  // The last member, because it uses those above.
  Thread thread_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_FLEET_FLEET_H_
