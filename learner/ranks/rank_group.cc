#include "learner/ranks/rank_group.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"

namespace pompc::learner {

RankGroup::RankGroup(int size, Clock* clock) : size_(size), clock_(clock), members_(size) {
  POMPC_CHECK_GE(size, 1);
}

absl::Status RankGroup::Join(int rank, int size, std::string name,
                             std::weak_ptr<Listener> listener) {
  if (size != size_) {
    return absl::FailedPreconditionError(absl::StrCat("rank 0 was started with --world-size ",
                                                      size_, ", rank ", rank, " with ", size));
  }
  if (rank < 1 || rank >= size_) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", rank, "; allowed: 1 to ", size_ - 1));
  }
  MutexLock lock(&mu_);
  Member& member = members_[rank];
  if (ended_.has_value()) return absl::UnavailableError("rank 0 is about to end");
  if (member.present) {
    return absl::UnavailableError(
        absl::StrCat("rank ", rank, " is already present: ", member.name));
  }
  // Ranks agree on their parameters only from a common start: none can take a place that was left.
  if (complete_) {
    return absl::UnavailableError(
        absl::StrCat("the run resumes when rank 0 is started again: ", LostLocked().message()));
  }
  // Orders of an earlier one in its place are gone with it: none was given before all had joined.
  member = {true, std::move(name), std::move(listener), {}};
  changed_.SignalAll();
  CheckInvariants();
  return absl::OkStatus();
}

RankGroup::Member& RankGroup::MemberAt(int rank) {
  POMPC_CHECK(rank >= 1 && rank < size_, "no rank that may join");
  return members_[rank];
}

std::optional<proto::RankOrder> RankGroup::NextOrder(int rank) {
  MutexLock lock(&mu_);
  std::deque<proto::RankOrder>& orders = MemberAt(rank).orders;
  if (orders.empty()) return std::nullopt;
  proto::RankOrder order = std::move(orders.front());
  orders.pop_front();
  return order;
}

// Not before the rank has taken the orders that were given before the end.
std::optional<absl::Status> RankGroup::Ended(int rank) const {
  MutexLock lock(&mu_);
  POMPC_CHECK(rank >= 1 && rank < size_);
  return members_[rank].orders.empty() ? ended_ : std::nullopt;
}

void RankGroup::Leave(int rank) {
  MutexLock lock(&mu_);
  MemberAt(rank).present = false;
  changed_.SignalAll();
}

bool RankGroup::AwaitAll(absl::Duration timeout) {
  MutexLock lock(&mu_);
  const absl::Duration deadline = clock_->Now() + timeout;
  // Looks once more after the deadline: the last one may have joined at that moment.
  while (!complete_ && !Absent().empty()) {
    if (!clock_->WaitUntil(&changed_, &mu_, deadline) && !Absent().empty()) return false;
  }
  complete_ = true;
  return true;
}

void RankGroup::Tell(const proto::RankOrder& order) {
  {
    MutexLock lock(&mu_);
    for (Member& member : members_) {
      if (!member.present) continue;
      // Nobody takes its orders any more: the stream hangs, though the connection has not ended.
      if (member.orders.size() >= kMaxOrders) member.present = false;
      if (member.present) member.orders.push_back(order);
    }
    changed_.SignalAll();
    CheckInvariants();
  }
  Announce();
}

void RankGroup::Close(const absl::Status& status) {
  {
    MutexLock lock(&mu_);
    // The first end counts: what ended the run, not what its end made fail.
    if (ended_.has_value()) return;
    ended_ = status;
    changed_.SignalAll();
  }
  Announce();
}

// Listeners are called without the lock: each takes its orders at once, by calls of this group. A
// stream that ends meanwhile is held by its pointer until it has heard.
void RankGroup::Announce() {
  std::vector<std::shared_ptr<Listener>> listeners;
  {
    MutexLock lock(&mu_);
    for (const Member& member : members_) {
      if (auto listener = member.listener.lock()) listeners.push_back(std::move(listener));
    }
  }
  for (const auto& listener : listeners) listener->OnNews();
}

// The trainer asks between updates, where no exchange would tell it: while it waits for rows, a
// rank that is gone is noticed within a second.
absl::Status RankGroup::Lost() const {
  MutexLock lock(&mu_);
  return LostLocked();
}

absl::Status RankGroup::LostLocked() const {
  const std::vector<int> absent = Absent();
  if (!complete_ || absent.empty()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(Named(absent), " of ", size_, absent.size() == 1 ? " is gone" : " are gone"));
}

absl::Status RankGroup::WhoIsGone(const absl::Status& error, absl::Duration timeout) const {
  MutexLock lock(&mu_);
  const absl::Duration deadline = clock_->Now() + timeout;
  while (LostLocked().ok()) {
    if (!clock_->WaitUntil(&changed_, &mu_, deadline)) break;
  }
  if (absl::Status lost = LostLocked(); !lost.ok()) return lost;
  // All connections are open, so it is none of those that ended: which one hangs cannot be told.
  std::vector<int> others;
  for (int rank = 1; rank < size_; ++rank) others.push_back(rank);
  return absl::UnavailableError(absl::StrCat(Named(others), " of ", size_,
                                             others.size() == 1 ? " does" : ": one does",
                                             " not answer in time: ", error.message()));
}

std::string RankGroup::Missing() const {
  MutexLock lock(&mu_);
  return absl::StrCat(Named(Absent()), " of ", size_);
}

int RankGroup::present() const {
  MutexLock lock(&mu_);
  return size_ - static_cast<int>(Absent().size());
}

std::vector<int> RankGroup::Absent() const {
  std::vector<int> absent;
  for (int rank = 1; rank < size_; ++rank) {
    if (!members_[rank].present) absent.push_back(rank);
  }
  return absent;
}

void RankGroup::CheckInvariants() const {
  POMPC_DCHECK(!members_[0].present && members_[0].orders.empty(), "rank 0 is this one");
  for (const Member& member : members_) POMPC_DCHECK_LE(member.orders.size(), kMaxOrders);
}

// The ranks with their names, where they had one.
std::string RankGroup::Named(const std::vector<int>& ranks) const {
  std::vector<std::string> parts;
  for (int rank : ranks) {
    const std::string& name = members_[rank].name;
    parts.push_back(name.empty() ? absl::StrCat(rank) : absl::StrCat(rank, " (", name, ")"));
  }
  return absl::StrCat(ranks.size() == 1 ? "rank " : "ranks ", absl::StrJoin(parts, ", "));
}

}  // namespace pompc::learner
