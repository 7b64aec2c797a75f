#ifndef POMPC_LEARNER_RANKS_RANK_GROUP_H_
#define POMPC_LEARNER_RANKS_RANK_GROUP_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/threads.h"
#include "proto/ranks.pb.h"

namespace pompc::learner {

// The other ranks as rank 0 sees them: which have joined, and the orders that each is still to be
// told. Once all have joined (AwaitAll), none can be replaced: a rank that leaves then is lost, and
// the run with it, until all are started again. Thread-safe. At most kMaxOrders wait for a rank.
class RankGroup {
 public:
  // A rank that is further behind is lost: the exchanges between ranks let none run ahead so far.
  static constexpr size_t kMaxOrders = 64;

  // The callback by which a rank hears that there is an order for it, or that the run has ended.
  // Called by the thread that brings the news, without locks.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void OnNews() = 0;
  };

  // A group of `size` ranks, this one included. `clock` must outlive it. REQUIRES: size is at least
  // 1.
  explicit RankGroup(int size, Clock* clock = Clock::Real());

  int size() const { return size_; }

  // ---- For whoever talks to the other ranks.

  // Lets a rank join. INVALID_ARGUMENT for a rank that is none of 1 to size - 1,
  // FAILED_PRECONDITION naming both when the caller was told another size, UNAVAILABLE when that
  // rank has joined already, or has and is lost.
  absl::Status Join(int rank, int size, std::string name, std::weak_ptr<Listener> listener);
  // The order that `rank` is to be told next; each is given once. REQUIRES: 1 <= rank < size().
  std::optional<proto::RankOrder> NextOrder(int rank);
  // The status with which the run ended, once it has and all orders of `rank` were taken. REQUIRES:
  // as NextOrder.
  std::optional<absl::Status> Ended(int rank) const;
  // The rank has left. REQUIRES: as NextOrder.
  void Leave(int rank);

  // ---- For the trainer.

  // Waits up to `timeout` until all others have joined; says whether they have.
  bool AwaitAll(absl::Duration timeout);
  // Gives an order to all ranks that are present.
  void Tell(const proto::RankOrder& order);
  // UNAVAILABLE naming those who left since AwaitAll gave true.
  absl::Status Lost() const;
  // Explains an exchange that failed with `error`: waits up to `timeout` to hear which rank is
  // gone; if none is by then, one hangs or is too slow. UNAVAILABLE either way.
  absl::Status WhoIsGone(const absl::Status& error, absl::Duration timeout) const;
  // The ranks that have not joined, in words: "rank 1 of 2", "ranks 1, 3 of 4".
  std::string Missing() const;
  // Number of ranks that are present, this one included.
  int present() const;

  // The run is over, or is to be resumed later: the others are told so, with the error that ended
  // it. Idempotent.
  void Close(const absl::Status& status);

 private:
  struct Member {
    bool present = false;
    std::string name;
    std::weak_ptr<Listener> listener;
    std::deque<proto::RankOrder> orders;
  };

  // The member of a rank that may join, 1 .. size - 1.
  Member& MemberAt(int rank) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status LostLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<int> Absent() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string Named(const std::vector<int>& ranks) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Announce() ABSL_LOCKS_EXCLUDED(mu_);
  void CheckInvariants() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int size_;
  Clock* const clock_;

  mutable Mutex mu_;
  mutable CondVar changed_;
  // The entries are by rank; the first stays empty.
  std::vector<Member> members_ ABSL_GUARDED_BY(mu_);
  // All have joined once.
  bool complete_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_RANKS_RANK_GROUP_H_
