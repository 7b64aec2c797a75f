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
#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace pompc::learner {

// What all ranks do next.
struct RankOrder {
  enum class Kind {
    kConnect,    // connect to the others and take over the state of rank 0
    kDraw,       // get this rank's part of the next batch, and say whether it is there
    kReanalyze,  // plan states of the batch anew
    kStep,       // make the update
    kKeep,       // keep a copy of the state
    kGoBack,     // back to the state kept last
  };
  Kind kind = Kind::kConnect;
  // With kStep: whether its values are wanted.
  bool want_values = false;
  // With kDraw: windows each replay shard holds, 0 where it cannot be reached.
  std::vector<uint64_t> windows;
};

// As rank 0 sees them: which of the other ranks are there, and what each is still to be told. Once
// all have come (AwaitAll) nobody can be replaced: who leaves then is lost, and the run with it,
// until all are started again. Thread-safe. At most kMaxOrders wait for a rank.
class RankGroup {
 public:
  // Who is further behind is lost: the exchanges between ranks let nobody run ahead so far.
  static constexpr size_t kMaxOrders = 64;

  // Of a rank: how it hears that there is something for it. Called by whoever brings it, without
  // locks.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void OnNews() = 0;
  };

  // Of `size` ranks, this one included. `clock` must outlive this.
  explicit RankGroup(int size, Clock* clock = Clock::Real());

  int size() const { return size_; }

  // ---- For whoever talks to the other ranks.

  // INVALID_ARGUMENT for a rank that is none of 1 to size - 1, FAILED_PRECONDITION naming both when
  // the caller was told another size, UNAVAILABLE when that rank is there, or was and is lost.
  absl::Status Join(int rank, int size, std::string name, std::weak_ptr<Listener> listener);
  // What `rank` is to be told next; each is given once.
  std::optional<RankOrder> NextOrder(int rank);
  // How it ended, once it has and all orders were taken.
  std::optional<absl::Status> Ended(int rank) const;
  void Leave(int rank);

  // ---- For the trainer.

  // Waits up to `timeout` until all others are there.
  bool AwaitAll(absl::Duration timeout);
  // Tells all.
  void Tell(const RankOrder& order);
  // UNAVAILABLE naming those who left since AwaitAll gave true.
  absl::Status Lost() const;
  // The same, for an exchange that failed with `error`: waits up to `timeout` to hear who is gone;
  // who then is still there hangs, or is too slow.
  absl::Status WhoIsGone(const absl::Status& error, absl::Duration timeout) const;
  // Those not there, or there: "rank 1", "ranks 1 and 3 of 4".
  std::string Missing() const;
  // Ranks that are there, this one included.
  int present() const;

  // The run is over, or goes on another time: the others are told so, with the error that ended it.
  // Idempotent.
  void Close(const absl::Status& status);

 private:
  struct Member {
    bool present = false;
    std::string name;
    std::weak_ptr<Listener> listener;
    std::deque<RankOrder> orders;
  };

  // The member of a rank that may join, 1 .. size - 1.
  Member& MemberAt(int rank) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status LostLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<int> Absent() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string Named(const std::vector<int>& ranks) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Announce() ABSL_LOCKS_EXCLUDED(mu_);

  const int size_;
  Clock* const clock_;

  mutable Mutex mu_;
  mutable CondVar changed_;
  // By rank; the first stays empty.
  std::vector<Member> members_ ABSL_GUARDED_BY(mu_);
  // All were there once.
  bool complete_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_RANKS_RANK_GROUP_H_
