#ifndef POMPC_REPLAY_OPTIONS_H_
#define POMPC_REPLAY_OPTIONS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/metrics/metrics.h"

namespace pompc::replay {

struct AppOptions {
  // "host:port"; port 0 takes any free one. Empty: in-process only.
  std::string listen;
  // Also listens, in plaintext, where other hosts can reach it.
  bool insecure = false;
  // Label "shard" of its metrics; shards of one process need different ones.
  std::string shard = "0";
  // Where its metrics go. Required.
  std::shared_ptr<MetricsRegistry> metrics;
  Clock* clock = Clock::Real();

  // INVALID_ARGUMENT naming the field.
  absl::Status Validate() const;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_OPTIONS_H_
