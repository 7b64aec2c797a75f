#ifndef POMPC_ACTOR_CORE_ROW_SINK_H_
#define POMPC_ACTOR_CORE_ROW_SINK_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "replay/core/row.h"

namespace pompc::actor {

// Hears from a RowSink, on any thread. Calls must not block and must not call the sink.
class RowSinkListener {
 public:
  virtual ~RowSinkListener() = default;
  // `environment`, found full before, has room again, or its episode was refused.
  virtual void OnRoom(int environment) = 0;
  // Replay refused an episode of `environment`, the present one or one that has ended: `why`.
  // INVALID_ARGUMENT: it will refuse every other one as well; other codes may pass.
  virtual void OnRefused(int environment, const absl::Status& why) = 0;
};

// Takes the rows of a process's environments. Never blocks. Each environment is used by one thread
// at a time.
class RowSink {
 public:
  virtual ~RowSink() = default;

  // Starts an episode. One before it that did not end is cut off: its rows stay, but it gets no
  // final observation.
  virtual void BeginEpisode(int environment) = 0;
  // True if one more row fits. After false, the listener's OnRoom is called once it does.
  virtual bool HasRoom(int environment) = 0;
  // REQUIRES: HasRoom(environment) was true since the last Append. OK: the row is on its way.
  // ABORTED when replay refused the present episode (begin another; the listener hears why).
  // FAILED_PRECONDITION when replay turns this process away. CANCELLED when the sink is closed.
  // Other errors are here to stay.
  virtual absl::Status Append(int environment, const replay::RowView& row) = 0;
  // The episode ended, by termination or truncation, in `final_observation` [O]. As Append.
  virtual absl::Status EndEpisode(int environment, std::span<const float> final_observation) = 0;
  // Rows and ends of episodes of the environment that replay has stored so far. Grows only.
  virtual uint64_t Acknowledged(int environment) = 0;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_CORE_ROW_SINK_H_
