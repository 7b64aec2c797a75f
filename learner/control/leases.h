#ifndef POMPC_LEARNER_CONTROL_LEASES_H_
#define POMPC_LEARNER_CONTROL_LEASES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "learner/control/types.h"

namespace pompc::learner {

struct LeaseOptions {
  // A lease ends so long after its last heartbeat.
  absl::Duration duration = absl::Seconds(10);
  // How often holders are asked to send one.
  absl::Duration heartbeat = absl::Seconds(1);
  // Leases at once, and environments of one actor.
  size_t max_leases = 4096;
  uint32_t max_environments = 4096;
};

// What a holder tells about itself, since its lease began.
struct PeerCounters {
  uint64_t rows = 0;
  uint64_t episodes = 0;
  // Of the newest finished episode; only with episodes > 0.
  double last_return = 0;
};

struct Lease {
  // Equal to the incarnation; no learner of the run hands one out twice.
  uint64_t id = 0;
  Role role = Role::kActor;
  // Smallest free one of its role when it was handed out.
  uint32_t index = 0;
  // Larger than that of every earlier lease of the run.
  uint64_t incarnation = 0;
  std::string name;
  // Shard each environment writes to.
  std::vector<uint32_t> shards;
  PeerCounters counters;
  absl::Duration last_heartbeat;
};

// Who takes part in a run. Not thread-safe; time is what the caller says it is and does not go
// back. Bounded by options.max_leases.
class Leases {
 public:
  // Incarnations are learner_incarnation << 32 | counter, so a learner that resumes a run fences
  // the leases of its predecessor.
  Leases(const LeaseOptions& options, int num_shards, uint64_t learner_incarnation);

  // Hands out a lease. Environments are spread so that shards differ by one environment at most, as
  // far as the leases that live allow. INVALID_ARGUMENT: an actor without environments or with too
  // many. RESOURCE_EXHAUSTED: max_leases are out.
  absl::StatusOr<Lease> Register(Role role, std::string name, uint32_t environments,
                                 absl::Duration now);

  // Prolongs a lease. NOT_FOUND when it has ended or never was.
  absl::Status Heartbeat(uint64_t id, const PeerCounters& counters, absl::Duration now);

  // Ends a lease; nothing happens if it has ended.
  void End(uint64_t id) { leases_.erase(id); }

  // Ends the leases whose time is up and returns them.
  std::vector<Lease> Expire(absl::Duration now);

  // nullptr when it has ended or never was. Valid until the next non-const call.
  const Lease* Find(uint64_t id) const;
  bool Any(Role role) const;
  const std::map<uint64_t, Lease>& all() const { return leases_; }
  const LeaseOptions& options() const { return options_; }

 private:
  uint32_t FreeIndex(Role role) const;
  std::vector<uint32_t> AssignShards(uint32_t environments) const;

  const LeaseOptions options_;
  const int num_shards_;
  uint64_t next_incarnation_;
  std::map<uint64_t, Lease> leases_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_CONTROL_LEASES_H_
