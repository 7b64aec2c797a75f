#ifndef POMPC_REPLAY_CORE_WRITER_QUEUE_H_
#define POMPC_REPLAY_CORE_WRITER_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

namespace pompc::replay {

// Is told that a blocked chunk may be tried again.
class RoomWaiter {
 public:
  virtual ~RoomWaiter() = default;
  // Called once for each enrolment, without locks of the shard held, by whichever thread opened the
  // limiter, made room in the store, closed the shard or found that the reason for waiting has
  // changed. Must not block.
  virtual void OnRoom() = 0;
};

// What a writer waits for.
enum class BlockedBy {
  kGrant,    // more rows to be granted, or its share of those that were
  kVersion,  // the learner's announcement of the version that planned a row, or of a lease
  kStore,    // the store to take rows again
};

// The writers of a shard that wait, each with a chunk, and the order in which they are let in. Rows
// that are granted are shared in rounds: a round gives every writer that waits for rows the same
// number of them, or fewer if its chunk needs fewer; if there are fewer rows than writers, those
// that have waited longest get one row each. A writer that was not woken takes rows only while
// nobody waits for them. So under a tight grant writers get equal shares, or a chunk in each round
// where that is less, and none waits for more than one round of all others. It only decides: the
// caller wakes. Not thread-safe. It holds each writer once.
class WriterQueue {
 public:
  using Writers = std::vector<std::shared_ptr<RoomWaiter>>;

  // Returns how many of the `room` rows that are granted and not taken the writer may take now. If
  // it was woken for its share, it uses it up with this call.
  uint64_t Claim(const RoomWaiter* writer, uint64_t room);

  // The writer waits behind the others, or goes on waiting at its place. `rows` is what its chunk
  // still needs, at least 1 if it is blocked by the grant.
  void Wait(std::shared_ptr<RoomWaiter> writer, BlockedBy by, uint64_t rows);

  // The writer waits no longer and gives back its share.
  void Leave(const RoomWaiter* writer);

  // Begins a round over `room` rows and returns whom to wake, in this order. Nobody, if no rows or
  // no writers are there, or if a writer of the last round has not claimed its share; a second such
  // call gives up what is still unclaimed.
  Writers NextRound(uint64_t room);

  // True if NextRound would wake somebody, and no share is unclaimed.
  bool RoundDue(uint64_t room) const { return room > 0 && !for_rows_.empty() && shares_.empty(); }

  // Begins a round as NextRound does, and returns all who wait for whatever reason: to be called
  // when they may have to be told something else.
  Writers TakeAll(uint64_t room);

  // Writers that wait for this now.
  size_t waiting(BlockedBy by) const;
  bool empty() const { return for_rows_.empty() && for_others_.empty(); }

 private:
  struct Writer {
    std::shared_ptr<RoomWaiter> writer;
    BlockedBy by;
    uint64_t rows;
  };

  std::deque<Writer> for_rows_;
  std::deque<Writer> for_others_;
  // The shares of woken writers that have not claimed them yet, and their sum.
  std::unordered_map<const RoomWaiter*, uint64_t> shares_;
  uint64_t shared_ = 0;
  // The present shares have been found unclaimed once.
  bool overdue_ = false;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_WRITER_QUEUE_H_
