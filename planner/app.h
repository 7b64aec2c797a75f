#ifndef POMPC_PLANNER_APP_H_
#define POMPC_PLANNER_APP_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/threads.h"
#include "common/metrics/metrics.h"
#include "common/rpc/server.h"
#include "parameters/parameter_subscriber.h"
#include "planner/core/batcher.h"
#include "planner/metrics.h"
#include "planner/options.h"
#include "planner/service.h"

namespace pompc::planner {

// A planner: it follows the learner's parameters and serves plans, and is NOT_SERVING until it has
// the first parameters. The learner may be in this process or in another one. Thread-safe.
class App {
 public:
  // INVALID_ARGUMENT as options.Validate(); else as rpc::Server::Start.
  static absl::StatusOr<std::unique_ptr<App>> Start(AppOptions options);
  // Stops.
  ~App();

  rpc::Server& server() { return *server_; }

  // OK while plans can be served; UNAVAILABLE saying what is missing.
  absl::Status Health() const;

  // 1. Takes no more parameters, and health says NOT_SERVING. 2. Answers waiting requests with
  // UNAVAILABLE and finishes the running batches. 3. Shuts the server down. Idempotent; it takes as
  // long as a batch, a load and stop_grace at most.
  void Stop();

  // Blocks until Stop() has done its work, or until it is clear that the program at the learner's
  // address is not a learner: UNIMPLEMENTED, with a message that says so.
  absl::Status Wait();

 private:
  explicit App(AppOptions options);

  // Makes a published version the planner's.
  absl::Status Take(const parameters::ParameterSnapshot& snapshot);
  void SetServing(bool serving);
  // The program at the learner's address is not a learner.
  void Fail(const absl::Status& status);

  const AppOptions options_;
  ParameterStore store_;
  PlannerMetrics metrics_;
  Batcher batcher_;
  PlannerService service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<parameters::ParameterSubscriber> subscriber_;
  // Reads the members above.
  MetricSource watched_;

  Mutex mu_;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  // Stopped, or failed.
  Event ended_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_APP_H_
