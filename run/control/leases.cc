#include "run/control/leases.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/values/short_text.h"

namespace pompc::run {
namespace {

// Texts come from outside and go to messages, logs and pages.
constexpr size_t kMaxName = 128;
constexpr size_t kMaxWaiting = 256;
constexpr size_t kMaxHow = 256;

}  // namespace

FreeIndices::FreeIndices(uint32_t bound) : bound_(bound) {
  POMPC_CHECK_GE(bound, 1u);
  ranges_[0] = bound;
}

bool FreeIndices::Contains(uint32_t index) const {
  const auto after = ranges_.upper_bound(index);
  return after != ranges_.begin() && index < std::prev(after)->second;
}

uint32_t FreeIndices::smallest() const {
  POMPC_CHECK(!ranges_.empty());
  return ranges_.begin()->first;
}

uint32_t FreeIndices::largest() const {
  POMPC_CHECK(!ranges_.empty());
  return ranges_.rbegin()->second - 1;
}

void FreeIndices::Take(uint32_t index) {
  POMPC_CHECK(Contains(index));
  const auto range = std::prev(ranges_.upper_bound(index));
  const auto [first, end] = *range;
  ranges_.erase(range);
  if (first < index) ranges_[first] = index;
  if (index + 1 < end) ranges_[index + 1] = end;
}

void FreeIndices::Return(uint32_t index) {
  POMPC_CHECK(index < bound_ && !Contains(index));
  uint32_t first = index, end = index + 1;
  const auto after = ranges_.find(end);
  if (after != ranges_.end()) {
    end = after->second;
    ranges_.erase(after);
  }
  const auto next = ranges_.upper_bound(index);
  if (next != ranges_.begin() && std::prev(next)->second == index) first = std::prev(next)->first;
  ranges_[first] = end;
}

Leases::Leases(const LeaseOptions& options, int num_shards, uint64_t learner_incarnation)
    : options_(options),
      num_shards_(num_shards),
      started_again_(learner_incarnation > 1),
      next_incarnation_((learner_incarnation << 32) + 1),
      free_actors_(static_cast<uint32_t>(options.max_leases)),
      free_evaluators_(static_cast<uint32_t>(options.max_leases)) {
  POMPC_CHECK_GE(num_shards, 1);
  environments_of_shard_.resize(static_cast<size_t>(num_shards), 0);
}

absl::StatusOr<Lease> Leases::Register(proto::Role role, const std::string& name,
                                       uint32_t environments, absl::Duration now,
                                       const ProcessIdentity& identity) {
  if (role == proto::ACTOR && (environments < 1 || environments > options_.max_environments)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "environments: ", environments, " is outside [1, ", options_.max_environments, "]"));
  }
  if (leases_.size() >= options_.max_leases) {
    return absl::ResourceExhaustedError(
        absl::StrCat("all ", options_.max_leases, " leases of the run are out"));
  }
  // A lease is named by its incarnation: it grows over all starts of the learner, so that an id is
  // never taken for that of another lease, and shards fence the rows of an earlier one by it.
  Lease lease;
  lease.id = lease.incarnation = next_incarnation_++;
  lease.role = role;
  // An index that two actors have had in turn fences the rows of the one that had it first.
  const bool from_above = role == proto::ACTOR && AwaitsFormer(now);
  lease.index = FreeIndex(role, identity.former_index, from_above);
  lease.name = ShortText(name, kMaxName);
  lease.process_id = identity.process_id;
  if (role == proto::ACTOR) lease.shards = AssignShards(environments);
  lease.last_heartbeat = now;
  lease.expires = now + options_.duration;
  POMPC_CHECK(leases_.emplace(lease.id, lease).second);
  Enter(lease);
  CheckInvariants();
  return lease;
}

absl::Status Leases::Heartbeat(uint64_t id, const PeerCounters& counters, absl::Duration now,
                               const std::string& waiting) {
  auto found = leases_.find(id);
  if (found == leases_.end()) {
    return absl::NotFoundError(absl::StrCat("lease ", id, " has ended: register again"));
  }
  Lease& lease = found->second;
  POMPC_CHECK_GE(now, lease.last_heartbeat, "time went back");
  lease.counters = counters;
  lease.waiting = ShortText(waiting, kMaxWaiting);
  lease.last_heartbeat = now;
  // Prolong may have given the lease more time than a heartbeat does.
  lease.expires = std::max(lease.expires, now + options_.duration);
  CheckInvariants();
  return absl::OkStatus();
}

void Leases::Prolong(absl::Duration time) {
  for (auto& [id, lease] : leases_) lease.expires = std::max(lease.expires, time);
}

void Leases::End(uint64_t id) {
  const auto found = leases_.find(id);
  if (found == leases_.end()) return;
  Leave(found->second);
  leases_.erase(found);
  CheckInvariants();
}

void Leases::End(uint64_t id, EndedLease how) {
  // Leases that end without a reason (the run is over, the process registered again) are erased by
  // the other End and not told of: nobody looks for the cause of those.
  const auto found = leases_.find(id);
  if (found == leases_.end()) return;
  Leave(found->second);
  how.lease = std::move(found->second);
  how.how = ShortText(how.how, kMaxHow);
  leases_.erase(found);
  POMPC_CHECK(ends_.contains(how.end), "a lease ends in one of three ways");
  ++ends_[how.end];
  ended_.push_back(std::move(how));
  if (ended_.size() > kMaxEnded) ended_.pop_front();
  CheckInvariants();
}

std::vector<Lease> Leases::Expired(absl::Duration now) const {
  std::vector<Lease> expired;
  for (const auto& [id, lease] : leases_) {
    if (now >= lease.expires) expired.push_back(lease);
  }
  return expired;
}

const Lease* Leases::Find(uint64_t id) const {
  auto found = leases_.find(id);
  return found == leases_.end() ? nullptr : &found->second;
}

const Lease* Leases::FindProcess(proto::Role role, uint64_t process_id) const {
  if (process_id == 0) return nullptr;
  const auto found = processes_.find({role, process_id});
  return found == processes_.end() ? nullptr : Find(found->second);
}

bool Leases::Any(proto::Role role) const {
  return std::any_of(leases_.begin(), leases_.end(),
                     [&](const auto& entry) { return entry.second.role == role; });
}

bool Leases::AwaitsFormer(absl::Duration now) {
  if (!first_at_.has_value()) first_at_ = now;
  return started_again_ && now < *first_at_ + options_.await_former;
}

uint32_t Leases::FreeIndex(proto::Role role, std::optional<uint32_t> wanted,
                           bool from_above) const {
  const FreeIndices& free = Free(role);
  // There are as many indices as leases: what is said to be a former index comes from outside.
  if (wanted.has_value() && *wanted < options_.max_leases && free.Contains(*wanted)) return *wanted;
  // There are fewer leases than indices below max_leases.
  return from_above ? free.largest() : free.smallest();
}

FreeIndices& Leases::Free(proto::Role role) {
  return role == proto::ACTOR ? free_actors_ : free_evaluators_;
}
const FreeIndices& Leases::Free(proto::Role role) const {
  return role == proto::ACTOR ? free_actors_ : free_evaluators_;
}

void Leases::Enter(const Lease& lease) {
  Free(lease.role).Take(lease.index);
  if (lease.process_id != 0) processes_[{lease.role, lease.process_id}] = lease.id;
  for (const uint32_t shard : lease.shards) ++environments_of_shard_[shard];
}

void Leases::Leave(const Lease& lease) {
  Free(lease.role).Return(lease.index);
  const auto process = processes_.find({lease.role, lease.process_id});
  // Another lease of the same process may have followed it.
  if (process != processes_.end() && process->second == lease.id) processes_.erase(process);
  for (const uint32_t shard : lease.shards) --environments_of_shard_[shard];
}

void Leases::CheckInvariants() const {
  POMPC_CHECK_LE(leases_.size(), options_.max_leases);
  const uint64_t ever_ended =
      std::accumulate(ends_.begin(), ends_.end(), uint64_t{0},
                      [](uint64_t sum, const auto& entry) { return sum + entry.second; });
  POMPC_CHECK_EQ(ended_.size(), std::min<uint64_t>(kMaxEnded, ever_ended));
  POMPC_CHECK(leases_.empty() || leases_.rbegin()->first < next_incarnation_);
#ifndef NDEBUG
  CheckLeases();
#endif
}

void Leases::CheckLeases() const {
  std::set<std::pair<proto::Role, uint32_t>> indices;
  for (const auto& [id, lease] : leases_) {
    POMPC_CHECK_EQ(lease.id, id);
    POMPC_CHECK_EQ(lease.incarnation, id);
    POMPC_CHECK_LT(lease.index, options_.max_leases);
    POMPC_CHECK(indices.emplace(lease.role, lease.index).second, "two leases have one index");
    POMPC_CHECK(!Free(lease.role).Contains(lease.index));
    POMPC_CHECK_LE(lease.last_heartbeat, lease.expires);
    for (const uint32_t shard : lease.shards) {
      POMPC_CHECK_LT(shard, static_cast<uint32_t>(num_shards_));
    }
  }
}

std::vector<uint32_t> Leases::AssignShards(uint32_t environments) const {
  // One environment after the other goes to the shard with the fewest: leases that have ended leave
  // the shards uneven, and the next ones even them out without moving anybody.
  std::vector<uint64_t> load = environments_of_shard_;
  std::vector<uint32_t> shards(environments);
  for (uint32_t& shard : shards) {
    shard = static_cast<uint32_t>(std::min_element(load.begin(), load.end()) - load.begin());
    ++load[shard];
  }
  return shards;
}

}  // namespace pompc::run
