#ifndef POMPC_ACTOR_APP_H_
#define POMPC_ACTOR_APP_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "actor/core/stats.h"
#include "actor/options.h"
#include "actor/worker.h"
#include "common/base/event.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "run/run_client.h"

namespace pompc::actor {

// An actor or evaluator process: registers with the learner, waiting for it as long as it takes,
// works until the run is over, and ends. Thread-safe.
class App {
 public:
  // INVALID_ARGUMENT for bad options. Everything else goes on in the background: see Wait.
  static absl::StatusOr<std::unique_ptr<App>> Start(AppOptions options);
  // Stops.
  ~App();

  // Ends the work in an orderly way: plans under way are cancelled, rows are flushed for at most
  // options.flush_timeout. Blocks until all is over, a few seconds at most. Idempotent.
  void Stop();

  // Blocks until the work has ended: OK when the run is over or Stop was called, else why it could
  // not go on.
  absl::Status Wait();

  // OK once registered, unless the learner is out of reach.
  absl::Status Health() const;

  ActorStats::Counts Counts() const { return stats_.counts(); }
  // Counts and waits, for people.
  std::string StatusText() const;

 private:
  explicit App(AppOptions options);

  void Work();
  absl::Status Register();
  // How many environments to register with.
  absl::StatusOr<uint32_t> Environments();
  absl::StatusOr<std::shared_ptr<Worker>> MakeWorker(const proto::RegisterReply& registration);
  // Gives the client what its next heartbeat is to tell of the work.
  void TellCounts(run::RunClient& client);
  void OnNews(const run::RunClient::News& news);
  void TellWaiting(const std::string& waiting);
  std::string Waiting() const;
  // What the work waits for, whether or not the learner can be reached.
  std::string WorkWaiting(Worker* worker) const;

  const AppOptions options_;
  const std::string name_;
  // Of the delays between tries, which differ between processes so that they do not all come back
  // to a restarted learner at once.
  const uint64_t jitter_seed_;
  ActorStats stats_;
  Event stop_;
  Event done_;

  mutable Mutex mu_;
  std::shared_ptr<run::RunClient> client_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<Worker> worker_ ABSL_GUARDED_BY(mu_);
  absl::Status result_ ABSL_GUARDED_BY(mu_);
  // Why the learner cannot be reached before there is a client.
  std::string problem_ ABSL_GUARDED_BY(mu_);

  // Of thread_ until the heartbeats begin, then of the run client's.
  absl::Duration told_at_ = -absl::InfiniteDuration();
  bool told_ = false;

  // Last: it uses what stands above.
  Thread thread_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_APP_H_
