#ifndef POMPC_REPLAY_CORE_STREAMS_H_
#define POMPC_REPLAY_CORE_STREAMS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "replay/core/segment.h"
#include "replay/core/store_record.h"
#include "replay/core/table.h"

namespace pompc::replay {

// Remembers for every segment up to which row it is stored, so that rows sent again are stored once
// and missing rows are noticed. It holds the `max_segments` segments that were used last; a segment
// that was forgotten is never reopened. A later incarnation of an actor index fences the earlier
// one: all segments of the earlier incarnation are forgotten, and its rows are refused from then
// on. Not thread-safe.
class Streams {
 public:
  struct Options {
    // At least 1.
    size_t max_segments = size_t{1} << 17;
    size_t max_environments = size_t{1} << 16;
    // The part of one actor index: as many as actor.environments may be. A broken actor that counts
    // its environments up takes no more of the others' room.
    size_t max_environments_of_actor = 4096;
  };

  // State of one segment; its user keeps it up to date.
  struct Segment {
    // All rows before this one are stored.
    uint64_t next_row = 0;
    // The final observation is stored too.
    bool ended = false;
    // The newest row led to a terminal state: only the final observation may follow.
    bool terminated = false;
    // Not OK: the segment was refused and takes nothing any more.
    absl::Status refused;
    // Address of its newest row.
    uint64_t tail = Table::kNoAddress;
    // Set while the next row waits because it was planned by a version that the shard does not
    // know: the number of grants that the shard had received when it first saw that row.
    std::optional<uint64_t> unpublished_since;

   private:
    friend class Streams;
    std::list<SegmentId>::iterator used;
  };

  // Gets an ActorRecord for each incarnation that fences an earlier one, and a ForgottenRecord for
  // each segment that is forgotten to make room. What becomes of a segment is its user's to record.
  using Recorder = std::function<void(const StoreRecord&)>;

  explicit Streams(const Options& options, Recorder record = nullptr);

  // Returns the state of a segment; a segment that was not seen before starts with 0 rows. The
  // pointer is valid until the next call. FAILED_PRECONDITION if a later incarnation wrote, or the
  // segment was forgotten; RESOURCE_EXHAUSTED if the writer's environment would be one too many,
  // for this actor or for the shard.
  absl::StatusOr<Segment*> Open(const SegmentId& id);

  // True if opening a segment of `id` would begin a new incarnation of its actor, and fence the one
  // before it.
  bool BeginsIncarnation(const SegmentId& id) const;

  // The last segment, in the order in which an environment writes, that was opened under the
  // incarnation that wrote last.
  struct Last {
    uint64_t episode = 0;
    uint32_t segment = 0;
    // Its state; null if it was forgotten.
    const Segment* state = nullptr;
  };
  // Nothing if the environment has opened none. The state is valid until the next call of Open.
  std::optional<Last> LastOf(uint32_t actor_index, uint32_t environment) const;

  // Restore what was recorded, into an object that is empty but for such records. Segments come
  // last, all of them at once and in any order; those of a fenced incarnation are left out.
  void Restore(const ActorRecord& record);
  void Restore(const ForgottenRecord& record);
  void Restore(std::vector<SegmentRecord> segments);

  // Segments remembered.
  size_t size() const { return used_.size(); }

 private:
  // Episode, then segment: the order in which an environment writes.
  using Position = std::pair<uint64_t, uint32_t>;
  struct Environment {
    std::map<Position, Segment> segments;
    // Segments up to here that are not in `segments` were forgotten.
    std::optional<Position> forgotten;
  };
  struct Actor {
    uint64_t incarnation = 0;
    std::unordered_map<uint32_t, Environment> environments;
  };

  absl::StatusOr<Actor*> OpenActor(const SegmentId& id);
  void ForgetAll(Actor* actor);
  void ForgetLeastRecentlyUsed();
  // Checks what must hold between the fields after each change.
  void CheckInvariants() const;

  const Options options_;
  const Recorder record_;
  std::unordered_map<uint32_t, Actor> actors_;
  size_t environments_ = 0;
  std::list<SegmentId> used_;  // most recently used first
};

// What a chunk means to its segment.
struct ChunkVerdict {
  enum class Kind {
    kStore,    // rows from `skip` on (and the final observation, if any) are new
    kStored,   // all of it is here already
    kGap,      // rows before it are missing
    kRefused,  // it contradicts what is here: `status`
  };
  Kind kind = Kind::kStore;
  uint32_t skip = 0;
  absl::Status status;
};

// Decides what a chunk of `count` rows from `first_row` on means to the segment. A pure function.
ChunkVerdict JudgeChunk(const Streams::Segment& segment, uint64_t first_row, uint32_t count,
                        bool has_final);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_STREAMS_H_
