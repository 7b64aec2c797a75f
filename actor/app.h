#ifndef POMPC_ACTOR_APP_H_
#define POMPC_ACTOR_APP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "actor/core/stats.h"
#include "actor/options.h"
#include "actor/worker.h"
#include "common/base/threads.h"
#include "common/rpc/discovery.h"
#include "run/run_client.h"

namespace pompc::actor {

// An actor or evaluator process. It registers with the learner, waiting for it as long as
// necessary, works until the run is over, and ends. Thread-safe.
class App {
 public:
  // Fails with INVALID_ARGUMENT for bad options. Everything else happens in the background; see
  // Wait.
  static absl::StatusOr<std::unique_ptr<App>> Start(AppOptions options);
  // Calls Stop.
  ~App();

  // Ends the work in an orderly way: plans in flight are cancelled, and rows are flushed for at
  // most options.flush_timeout. Blocks until everything has ended, a few seconds at most.
  // Idempotent.
  void Stop();

  // Blocks until the work has ended. Returns OK when the run is over or Stop was called, else the
  // error that ended the work.
  absl::Status Wait();

  // Blocks until the work has ended, or until `deadline` of the clock. Returns what Wait returns,
  // and nothing if the work goes on.
  std::optional<absl::Status> WaitUntil(absl::Duration deadline);

  // Returns OK once registered, and UNAVAILABLE before that and while the learner is unreachable.
  absl::Status Health() const;

  ActorStats::Counts Counts() const { return stats_.counts(); }
  // Returns the counts, and what the process waits for, as text for people.
  std::string StatusText() const;

 private:
  // What Register has made so far; either may be null.
  struct Parts {
    std::shared_ptr<run::RunClient> client;
    std::shared_ptr<Worker> worker;
  };

  explicit App(AppOptions options);

  Parts parts() const;
  // Returns why the learner is unreachable; empty if it is not.
  std::string LearnerProblem(const run::RunClient* client) const;
  void Work();
  absl::Status Register();
  // Returns the number of environments to register with.
  absl::StatusOr<uint32_t> Environments();
  absl::StatusOr<std::shared_ptr<Worker>> MakeWorker(const proto::RegisterReply& registration);
  // Gives the client the counters that its next heartbeat reports.
  void TellCounts(run::RunClient& client);
  void OnNews(const run::RunClient::News& news);
  void LogWaiting(const std::string& waiting);
  std::string Waiting() const;
  // Returns what the work waits for, whether or not the learner is reachable.
  std::string WorkWaiting(Worker* worker) const;

  const AppOptions options_;
  const std::string name_;
  // Seeds the delays between attempts. It differs between processes, so that they do not all return
  // to a restarted learner at once.
  const uint64_t jitter_seed_;
  ActorStats stats_;
  rpc::Discovery planners_;
  Event stop_;
  Event done_;

  mutable Mutex mu_;
  std::shared_ptr<run::RunClient> client_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<Worker> worker_ ABSL_GUARDED_BY(mu_);
  absl::Status result_ ABSL_GUARDED_BY(mu_);
  // Why the learner is unreachable, as long as there is no client yet.
  std::string problem_ ABSL_GUARDED_BY(mu_);

  // Used by thread_ until the heartbeats begin, then by the run client's thread.
  absl::Duration logged_at_ = -absl::InfiniteDuration();
  bool logged_ = false;

  // The last member, because it uses those above.
  Thread thread_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_APP_H_
