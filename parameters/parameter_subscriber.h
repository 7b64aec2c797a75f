#ifndef POMPC_PARAMETERS_PARAMETER_SUBSCRIBER_H_
#define POMPC_PARAMETERS_PARAMETER_SUBSCRIBER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/base/threads.h"
#include "common/rpc/endpoint.h"
#include "common/values/parameter_version.h"
#include "parameters/parameter_snapshot.h"

namespace pompc::parameters {

struct ParameterSubscriberOptions {
  rpc::Endpoint learner;
  // Run to subscribe to. Empty: the run of the first version that arrives.
  std::string run_id;
  // Names this process in the learner's status, for example host:pid.
  std::string name;
  Clock* clock = Clock::Real();
  // Between attempts to connect.
  BackoffOptions backoff;
  uint64_t seed = 1;
  // A stream on which a started version makes no progress for so long is dropped.
  absl::Duration progress_timeout = absl::Seconds(20);
  // A stream is replaced by a new one after this time.
  absl::Duration max_stream_age = absl::Hours(1);
  // A server that has no such method (UNIMPLEMENTED) for so long, and was never a learner before,
  // is taken to be something else: `on_wrong_peer` is told, and nothing is tried any more.
  absl::Duration wrong_peer_timeout = absl::Seconds(10);
  // Called on the subscriber's thread, once at most. Must not close the subscriber. Without it the
  // subscriber keeps trying.
  std::function<void(const absl::Status&)> on_wrong_peer;
  // A version larger than this is refused.
  uint64_t max_bytes = uint64_t{8} << 30;
};

// Follows the learner's parameters and hands on each complete, verified version. Connects again
// with backoff when the stream breaks, for as long as it lives (but see wrong_peer_timeout), and
// resumes after the newest version it has. Owns one thread; thread-safe.
class ParameterSubscriber {
 public:
  // Takes one version, newest or kept (description.keep_seconds > 0), possibly older than one
  // before, possibly a second time. Called on the subscriber's thread, one at a time; while it runs
  // nothing is read, and the learner skips versions. An error is reported in status(); the version
  // counts as had.
  using OnSnapshot = std::function<absl::Status(const ParameterSnapshot&)>;

  struct Status {
    bool connected = false;
    // Newest version handed on.
    ParameterVersion have;
    uint64_t versions = 0;
    uint64_t bytes = 0;
    // Streams that ended or could not be opened, renewals included.
    uint64_t disconnects = 0;
    // Why the last stream ended or the last version was refused; empty while all is well.
    std::string last_error;
  };

  // REQUIRES: progress_timeout and max_stream_age are positive.
  ParameterSubscriber(const ParameterSubscriberOptions& options, OnSnapshot on_snapshot);
  ~ParameterSubscriber();

  Status status() const;

  // Cancels the stream and waits for the thread; `on_snapshot` is not called afterwards.
  // Idempotent.
  void Close();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace pompc::parameters

#endif  // POMPC_PARAMETERS_PARAMETER_SUBSCRIBER_H_
