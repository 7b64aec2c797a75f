#ifndef POMPC_ACTOR_WORKER_H_
#define POMPC_ACTOR_WORKER_H_

#include <string>

#include "absl/status/status.h"
#include "run/run_client.h"

namespace pompc::actor {

// What a registered process does in its run: act, or evaluate. Run belongs to one thread, the rest
// is thread-safe.
class Worker {
 public:
  virtual ~Worker() = default;

  // Works until the run is over or Stop was called (OK), or cannot go on (the error). Call once.
  virtual absl::Status Run() = 0;
  // Takes in what the learner says, at each heartbeat; does not block for long.
  virtual void OnNews(const run::RunClient::News& news) = 0;
  // Idempotent.
  virtual void Stop() = 0;
  // What holds it up just now, in words; empty when nothing does.
  virtual std::string Waiting() = 0;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_WORKER_H_
