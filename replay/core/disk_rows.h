#ifndef POMPC_REPLAY_CORE_DISK_ROWS_H_
#define POMPC_REPLAY_CORE_DISK_ROWS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "absl/status/status.h"
#include "replay/core/read_pins.h"
#include "replay/core/row.h"
#include "replay/core/segment.h"

namespace pompc::replay {

// The numbers of a shard's rows where they are on disk, and the table holds only what it needs to
// find them. A part of the shard's Store, which puts the chunks there. Thread-safe.
class DiskRows {
 public:
  // The place of a row or final observation: slot `slot` of those of its chunk's record in the
  // store.
  struct Place {
    uint64_t address = 0;
    uint32_t slot = 0;
    // Its plan was replaced.
    bool replanned = false;
  };
  // The bytes of each column of one row. Those of a final observation are the observation, and
  // fillers.
  using Bytes = std::array<const std::byte*, kRowColumns>;
  using Visitor = std::function<void(size_t place, const Bytes& bytes)>;

  virtual ~DiskRows() = default;

  // Copies the new rows of the chunk, the first of which gets this address. From now on Read finds
  // them. REQUIRES: a ChunkRecord of them is recorded next.
  virtual void Write(uint64_t address, const RowSpec& spec, const StoredChunk& chunk) = 0;

  // Calls `visit` once for each of `places`, in any order, with plans as they are now. DATA_LOSS
  // naming the address of the chunk that is damaged or missing, UNAVAILABLE while the disk cannot
  // be read; then some places were not visited. REQUIRES: rows were written, and are of this spec;
  // they are not evicted, or pinned since before they were.
  virtual absl::Status Read(const RowSpec& spec, std::span<const Place> places,
                            const Visitor& visit) const = 0;

  // Rows that are pinned stay on disk.
  virtual ReadPins& pins() = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_DISK_ROWS_H_
