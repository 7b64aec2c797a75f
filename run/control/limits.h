#ifndef POMPC_RUN_CONTROL_LIMITS_H_
#define POMPC_RUN_CONTROL_LIMITS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "proto/config.pb.h"
#include "proto/run.pb.h"

namespace pompc::run {

// The limits that may change while a run goes on (proto::RunLimits with all fields present). Ranges
// and the rules between settings are those of the config: config::Validate checks them.
struct RunLimits {
  double utd = 0;
  uint64_t slack_rows = 0;
  uint64_t min_rows = 0;
  // 0 for no limit.
  uint64_t max_rows = 0;

  bool operator==(const RunLimits&) const = default;
};

// The most changes of limits that a run remembers.
inline constexpr size_t kMaxLimitChanges = 16;

// The limits by the names of the settings of the config that they replace.
using NamedLimits = std::array<std::pair<const char*, double>, 4>;
NamedLimits Named(const RunLimits& limits);

// Those that a resolved config has.
RunLimits LimitsOf(const proto::RunConfig& config);
// The config with these limits in place of its own.
proto::RunConfig WithLimits(proto::RunConfig config, const RunLimits& limits);
// `limits` with the fields that are present in `changes` replaced.
RunLimits WithChanges(RunLimits limits, const proto::RunLimits& changes);
proto::RunLimits ToProto(const RunLimits& limits);

// "learner.utd 1 -> 0.5": each change in words, joined by commas.
std::string ChangesText(const std::vector<proto::LimitChange>& changes);

// What a start of the run with `config` takes over from what the run directory keeps: a limit that
// was changed while the run went on stays changed, unless the config has another value now than it
// had then. `config` is resolved.
proto::KeptLimits LimitsAtStart(const proto::RunConfig& config, const proto::KeptLimits& kept);

// What a change of limits is judged by, beside the limits themselves: the run at this moment.
struct LimitFacts {
  // True if the roles take turns (LOCKSTEP).
  bool lockstep = false;
  // True if the run learns from data sets alone (OFFLINE).
  bool offline = false;
  // Why the run is over, in words; empty while it is not.
  std::string over;
  // Rows of the run, and rows that shards were granted beyond those.
  uint64_t rows = 0;
  uint64_t granted_rows = 0;
  // What the reachable shards hold, and can hold.
  uint64_t stored_rows = 0;
  uint64_t capacity_rows = 0;
};

// Decides if a run that is going on may change its limits from `before` to `now`.
// FAILED_PRECONDITION if no limit of it may change any more. INVALID_ARGUMENT naming the setting,
// the run's numbers and what is allowed, if the updates would wait for ever. A pure function; a
// change of nothing is OK.
absl::Status CheckLimits(const RunLimits& before, const RunLimits& now, const LimitFacts& facts);

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_LIMITS_H_
