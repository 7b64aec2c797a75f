#include "replay/core/writer_queue.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace pompc::replay {

uint64_t WriterQueue::Claim(const RoomWaiter* writer, uint64_t room) {
  uint64_t share = 0;
  if (const auto it = shares_.find(writer); it != shares_.end()) {
    share = it->second;
    POMPC_CHECK_LE(share, shared_);
    shared_ -= share;
    shares_.erase(it);
  }
  // The bound of a later grant may be lower: then there are fewer rows than were shared.
  const uint64_t free = room > shared_ ? room - shared_ : 0;
  return for_rows_.empty() && shares_.empty() ? free : std::min(share, free);
}

void WriterQueue::Wait(std::shared_ptr<RoomWaiter> writer, BlockedBy by, uint64_t rows) {
  POMPC_CHECK(rows > 0 || by != BlockedBy::kGrant, "a chunk that needs no rows waits for none");
  std::deque<Writer>& waiting = by == BlockedBy::kGrant ? for_rows_ : for_others_;
  const auto place = std::find_if(waiting.begin(), waiting.end(),
                                  [&](const Writer& other) { return other.writer == writer; });
  if (place == waiting.end()) return waiting.push_back({std::move(writer), by, rows});
  place->by = by;
  place->rows = rows;
}

void WriterQueue::Leave(const RoomWaiter* writer) {
  Claim(writer, 0);
  const auto same = [writer](const Writer& other) { return other.writer.get() == writer; };
  std::erase_if(for_rows_, same);
  std::erase_if(for_others_, same);
}

// What a small chunk leaves of its writer's part, and the rest of the division, are the next
// round's: a round that gave the rest to the first writers would give them more every time.
WriterQueue::Writers WriterQueue::NextRound(uint64_t room) {
  if (!shares_.empty()) {
    if (!std::exchange(overdue_, true)) return {};
    shares_.clear();
    shared_ = 0;
  }
  overdue_ = false;
  const uint64_t writers = std::min<uint64_t>(for_rows_.size(), room);
  const uint64_t part = writers == 0 ? 0 : room / for_rows_.size();
  Writers woken;
  for (uint64_t i = 0; i < writers; ++i) {
    Writer& next = for_rows_.front();
    const uint64_t share = std::clamp<uint64_t>(part, 1, next.rows);
    shares_[next.writer.get()] += share;
    shared_ += share;
    woken.push_back(std::move(next.writer));
    for_rows_.pop_front();
  }
  POMPC_CHECK_LE(shared_, room, "more rows are shared than there are");
  return woken;
}

WriterQueue::Writers WriterQueue::TakeAll(uint64_t room) {
  Writers woken = NextRound(room);
  for (std::deque<Writer>* waiting : {&for_rows_, &for_others_}) {
    for (Writer& next : *waiting) woken.push_back(std::move(next.writer));
    waiting->clear();
  }
  return woken;
}

size_t WriterQueue::waiting(BlockedBy by) const {
  if (by == BlockedBy::kGrant) return for_rows_.size();
  return std::count_if(for_others_.begin(), for_others_.end(),
                       [by](const Writer& writer) { return writer.by == by; });
}

}  // namespace pompc::replay
