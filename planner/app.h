#ifndef POMPC_PLANNER_APP_H_
#define POMPC_PLANNER_APP_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/event.h"
#include "common/base/mutex.h"
#include "common/metrics/metrics.h"
#include "common/rpc/server.h"
#include "parameters/parameter_subscriber.h"
#include "planner/core/batcher.h"
#include "planner/core/parameter_store.h"
#include "planner/metrics.h"
#include "planner/options.h"
#include "planner/service.h"

namespace pompc::planner {

// A planner: follows the learner's parameters and serves plans, NOT_SERVING until the first
// parameters are there. Knows no difference between its own process and another's. Thread-safe.
class App {
 public:
  // INVALID_ARGUMENT as options.Validate(); else as rpc::Server::Start.
  static absl::StatusOr<std::unique_ptr<App>> Start(AppOptions options);
  // Stops.
  ~App();

  rpc::Server& server() { return *server_; }

  // OK while plans can be served; UNAVAILABLE saying what is missing.
  absl::Status Health() const;

  // 1. Takes no more parameters, health says NOT_SERVING. 2. Answers waiting requests with
  // UNAVAILABLE and finishes the running batches. 3. Shuts the server down. Idempotent, bounded by
  // a batch, a load and stop_grace.
  void Stop();

  // Blocks until Stop() has been called and is through; or until what is at the learner's address
  // has shown to be none, which it then says: UNIMPLEMENTED.
  absl::Status Wait();

 private:
  explicit App(AppOptions options);

  // Makes a published version the planner's.
  absl::Status Take(const parameters::ParameterSnapshot& snapshot);
  void SetServing(bool serving);
  // There is no learner.
  void Fail(const absl::Status& status);

  const AppOptions options_;
  ParameterStore store_;
  PlannerMetrics metrics_;
  Batcher batcher_;
  PlannerService service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<parameters::ParameterSubscriber> subscriber_;
  // Of the above.
  std::vector<MetricFunction> watched_;

  Mutex mu_;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  // Stopped, or failed.
  Event ended_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_APP_H_
