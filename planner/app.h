#ifndef POMPC_PLANNER_APP_H_
#define POMPC_PLANNER_APP_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/threads.h"
#include "common/metrics/metrics.h"
#include "common/rpc/server.h"
#include "parameters/parameter_snapshot.h"
#include "planner/core/batcher.h"
#include "planner/metrics.h"
#include "planner/options.h"
#include "planner/run_table.h"
#include "planner/service.h"

namespace pompc::planner {

// A planner: it follows the parameters of one learner or several and serves plans. It is
// NOT_SERVING until it has the first parameters, unless it accepts runs, since then somebody must
// reach it to name one. The learners may be in this process or in others. Thread-safe.
class App {
 public:
  // INVALID_ARGUMENT as options.Validate(); else as rpc::Server::Start.
  static absl::StatusOr<std::unique_ptr<App>> Start(AppOptions options);
  // Stops.
  ~App();

  rpc::Server& server() { return *server_; }

  // OK while plans can be served; UNAVAILABLE saying what is missing.
  absl::Status Health() const;

  // 1. Health says NOT_SERVING, and new requests are answered with UNAVAILABLE, so that clients go
  // elsewhere. 2. Plans what waits, for drain_timeout at most; the rest is answered with
  // UNAVAILABLE, too. 3. Takes no more parameters. 4. Shuts the server down. Idempotent; it takes
  // as long as drain_timeout, a batch, a load and stop_grace at most.
  void Stop();

  // Blocks until Stop() has done its work, or until it is clear that the program at the address of
  // one of options.learners is not a learner: UNIMPLEMENTED, with a message that says so.
  absl::Status Wait();

 private:
  explicit App(AppOptions options);

  RunTableOptions MakeRunOptions();
  // A run has its first parameters.
  void OnFirst(const parameters::ParameterSnapshot& snapshot);
  void SetServing(bool serving);
  // The program at a learner's address is not a learner.
  void Fail(const absl::Status& status);

  const AppOptions options_;
  PlannerMetrics metrics_;
  Batcher batcher_;
  RunTable runs_;
  PlannerService service_;
  std::unique_ptr<rpc::Server> server_;
  // Reads the members above.
  MetricSource watched_;

  mutable Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  // Stopped, or failed.
  Event ended_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_APP_H_
