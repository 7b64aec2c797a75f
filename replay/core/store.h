#ifndef POMPC_REPLAY_CORE_STORE_H_
#define POMPC_REPLAY_CORE_STORE_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "replay/core/segment.h"

namespace pompc::replay {

// Keeps accepted rows beyond the table, and so decides what an acknowledgement promises.
// The shard calls Append in the order in which rows enter the table, and acknowledges a chunk when
// WhenDurable, called after its Append, calls back. Append and WhenDurable must not block; they are
// called by any thread, Append by one at a time.
class Store {
 public:
  virtual ~Store() = default;

  // Takes a chunk, copying what it keeps. If the status is not OK, the store took nothing and the
  // shard accepts nothing; RESOURCE_EXHAUSTED means that the store is full.
  virtual absl::Status Append(const StoredChunk& chunk) = 0;

  // Calls `done` exactly once, possibly before this returns, when everything appended so far is as
  // durable as this store makes it. If the status is not OK, these rows may be lost and must not be
  // acknowledged.
  virtual void WhenDurable(std::function<void(absl::Status)> done) = 0;
};

// Keeps nothing: rows live as long as the process.
class MemoryStore : public Store {
 public:
  absl::Status Append(const StoredChunk&) override { return absl::OkStatus(); }
  void WhenDurable(std::function<void(absl::Status)> done) override { done(absl::OkStatus()); }
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_STORE_H_
