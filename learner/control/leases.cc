#include "learner/control/leases.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pompc::learner {
namespace {

// Names come from outside and go to logs and pages.
constexpr size_t kMaxName = 128;

}  // namespace

Leases::Leases(const LeaseOptions& options, int num_shards, uint64_t learner_incarnation)
    : options_(options),
      num_shards_(num_shards),
      next_incarnation_((learner_incarnation << 32) + 1) {}

absl::StatusOr<Lease> Leases::Register(Role role, std::string name, uint32_t environments,
                                       absl::Duration now) {
  if (role == Role::kActor && (environments < 1 || environments > options_.max_environments)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "environments: ", environments, " is outside [1, ", options_.max_environments, "]"));
  }
  if (leases_.size() >= options_.max_leases) {
    return absl::ResourceExhaustedError(
        absl::StrCat("all ", options_.max_leases, " leases of the run are out"));
  }
  Lease lease;
  lease.id = lease.incarnation = next_incarnation_++;
  lease.role = role;
  lease.index = FreeIndex(role);
  lease.name = std::move(name);
  if (lease.name.size() > kMaxName) lease.name.resize(kMaxName);
  if (role == Role::kActor) lease.shards = AssignShards(environments);
  lease.last_heartbeat = now;
  leases_[lease.id] = lease;
  return lease;
}

absl::Status Leases::Heartbeat(uint64_t id, const PeerCounters& counters, absl::Duration now) {
  auto found = leases_.find(id);
  if (found == leases_.end()) {
    return absl::NotFoundError(absl::StrCat("lease ", id, " has ended: register again"));
  }
  found->second.counters = counters;
  found->second.last_heartbeat = now;
  return absl::OkStatus();
}

std::vector<Lease> Leases::Expire(absl::Duration now) {
  std::vector<Lease> ended;
  for (auto it = leases_.begin(); it != leases_.end();) {
    if (now - it->second.last_heartbeat < options_.duration) {
      ++it;
      continue;
    }
    ended.push_back(std::move(it->second));
    it = leases_.erase(it);
  }
  return ended;
}

const Lease* Leases::Find(uint64_t id) const {
  auto found = leases_.find(id);
  return found == leases_.end() ? nullptr : &found->second;
}

bool Leases::Any(Role role) const {
  return std::any_of(leases_.begin(), leases_.end(),
                     [&](const auto& entry) { return entry.second.role == role; });
}

uint32_t Leases::FreeIndex(Role role) const {
  std::set<uint32_t> taken;
  for (const auto& [id, lease] : leases_) {
    if (lease.role == role) taken.insert(lease.index);
  }
  uint32_t index = 0;
  while (taken.contains(index)) ++index;
  return index;
}

std::vector<uint32_t> Leases::AssignShards(uint32_t environments) const {
  std::vector<uint64_t> load(num_shards_, 0);
  for (const auto& [id, lease] : leases_) {
    for (uint32_t shard : lease.shards) ++load[shard];
  }
  std::vector<uint32_t> shards(environments);
  for (uint32_t& shard : shards) {
    shard = static_cast<uint32_t>(std::min_element(load.begin(), load.end()) - load.begin());
    ++load[shard];
  }
  return shards;
}

}  // namespace pompc::learner
