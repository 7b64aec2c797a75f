#ifndef POMPC_RUN_CONTROL_LEASES_H_
#define POMPC_RUN_CONTROL_LEASES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/run.pb.h"

namespace pompc::run {

struct LeaseOptions {
  // A lease ends this long after its last heartbeat.
  absl::Duration duration = absl::Seconds(10);
  // The interval at which holders are asked to send one.
  absl::Duration heartbeat = absl::Seconds(1);
  // For this long after the first registration, a learner that has started again keeps the small
  // indices for the actors that had them; other actors get the largest free ones.
  absl::Duration await_former;
  // Leases at once, and environments of one actor. A server takes 15,360 connections at most.
  size_t max_leases = 16384;
  uint32_t max_environments = 4096;
};

// What a holder reports about itself, counted since its lease began.
struct PeerCounters {
  uint64_t rows = 0;
  uint64_t episodes = 0;
  // The return of the newest finished episode; it has a meaning only if episodes > 0.
  double last_return = 0;
};

// The data by which a process is recognised when it registers again.
struct ProcessIdentity {
  // Drawn by the process when it starts; 0: not recognised.
  uint64_t process_id = 0;
  // Index of its last lease, possibly of an earlier learner.
  std::optional<uint32_t> former_index;
};

struct Lease {
  // Equal to the incarnation; no learner of the run hands one out twice.
  uint64_t id = 0;
  proto::Role role = proto::ACTOR;
  // The holder's former index, otherwise the smallest of its role that was free (but see
  // LeaseOptions::await_former).
  uint32_t index = 0;
  // Larger than that of every earlier lease of the run.
  uint64_t incarnation = 0;
  std::string name;
  uint64_t process_id = 0;
  // Shard each environment writes to.
  std::vector<uint32_t> shards;
  PeerCounters counters;
  // What its holder waits for, in words; empty when it does not wait.
  std::string waiting;
  absl::Duration last_heartbeat;
  // The time at which the lease ends unless a heartbeat comes before.
  absl::Duration expires;
};

// A lease that has ended.
struct EndedLease {
  Lease lease;
  proto::LeaseEnd end = proto::LEFT;
  // The end in words.
  std::string how;
  absl::Duration at;
  // The progress of the run at that time in what holders of this role contribute: its rows for an
  // actor, its evaluation results for an evaluator.
  uint64_t progress = 0;
};

// The indices below a bound that nobody has, as ranges: a fleet that starts at once takes thousands
// of them one after the other.
class FreeIndices {
 public:
  // REQUIRES: bound >= 1.
  explicit FreeIndices(uint32_t bound);

  bool Contains(uint32_t index) const;
  // REQUIRES: there are any.
  uint32_t smallest() const;
  uint32_t largest() const;
  // REQUIRES: it is free.
  void Take(uint32_t index);
  // REQUIRES: it is below the bound and not free.
  void Return(uint32_t index);

 private:
  const uint32_t bound_;
  // The end of each range (one past its last index) by its first index; ranges do not touch.
  std::map<uint32_t, uint32_t> ranges_;
};

// The actors and evaluators that take part in a run. Not thread-safe. The caller passes in the
// time, which must not go back. Bounded by options.max_leases.
class Leases {
 public:
  static constexpr size_t kMaxEnded = 16;

  // Incarnations are learner_incarnation << 32 | counter, so a learner that resumes a run fences
  // the leases of its predecessor. REQUIRES: num_shards >= 1.
  Leases(const LeaseOptions& options, int num_shards, uint64_t learner_incarnation);

  // Hands out a lease. A process that is recognised gets its former index; otherwise processes that
  // all register again could take each other's indices and fence each other's rows. Environments
  // are spread over the shards so that two shards differ by one environment at most, as far as the
  // present leases allow. INVALID_ARGUMENT: an actor without environments or with too many.
  // RESOURCE_EXHAUSTED: max_leases are out.
  absl::StatusOr<Lease> Register(proto::Role role, const std::string& name, uint32_t environments,
                                 absl::Duration now, const ProcessIdentity& identity = {});

  // Prolongs a lease. NOT_FOUND when it has ended or never was.
  absl::Status Heartbeat(uint64_t id, const PeerCounters& counters, absl::Duration now,
                         const std::string& waiting = "");

  // No lease ends before `time`.
  void Prolong(absl::Duration time);

  // Ends a lease; nothing happens if it has ended.
  void End(uint64_t id);
  // The same, and remembers how it ended: the kMaxEnded newest are kept.
  void End(uint64_t id, EndedLease how);

  // Leases whose time is up.
  std::vector<Lease> Expired(absl::Duration now) const;

  // The leases whose end is remembered, oldest first, and how many ever ended so.
  const std::deque<EndedLease>& ended() const { return ended_; }
  const std::map<proto::LeaseEnd, uint64_t>& ends() const { return ends_; }

  // nullptr when it has ended or never was. Valid until the next non-const call.
  const Lease* Find(uint64_t id) const;
  // The lease that process `process_id` holds in this role; nullptr if none, or if the id is 0.
  const Lease* FindProcess(proto::Role role, uint64_t process_id) const;
  bool Any(proto::Role role) const;
  // No lease has a larger incarnation, whichever start of the learner gave it.
  uint64_t newest() const { return next_incarnation_ - 1; }
  const std::map<uint64_t, Lease>& all() const { return leases_; }
  const LeaseOptions& options() const { return options_; }

 private:
  // `wanted` if it is free, otherwise the smallest free index, or the largest if `from_above`.
  uint32_t FreeIndex(proto::Role role, std::optional<uint32_t> wanted, bool from_above) const;
  // The indices of a role that are free.
  FreeIndices& Free(proto::Role role);
  const FreeIndices& Free(proto::Role role) const;
  // Enters a lease in what is looked up, or takes it out.
  void Enter(const Lease& lease);
  void Leave(const Lease& lease);
  // True while former holders of indices may still register.
  bool AwaitsFormer(absl::Duration now);
  std::vector<uint32_t> AssignShards(uint32_t environments) const;
  // Checks what must hold between the fields after each change.
  void CheckInvariants() const;
  // The part of CheckInvariants that walks through all leases.
  void CheckLeases() const;

  const LeaseOptions options_;
  const int num_shards_;
  const bool started_again_;
  // When the first process registered.
  std::optional<absl::Duration> first_at_;
  uint64_t next_incarnation_;
  std::map<uint64_t, Lease> leases_;
  // What follows from leases_, for lookups: the free indices, the leases of processes that are
  // recognised, by role and process id, and the environments of each shard.
  FreeIndices free_actors_, free_evaluators_;
  std::map<std::pair<proto::Role, uint64_t>, uint64_t> processes_;
  std::vector<uint64_t> environments_of_shard_;
  std::deque<EndedLease> ended_;
  std::map<proto::LeaseEnd, uint64_t> ends_ = {
      {proto::LEFT, 0}, {proto::FAILED, 0}, {proto::SILENT, 0}};
};

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_LEASES_H_
