#ifndef POMPC_COMMON_RPC_MESSAGE_SIZE_H_
#define POMPC_COMMON_RPC_MESSAGE_SIZE_H_

#include <algorithm>
#include <cstdint>

#include "common/base/check.h"

namespace pompc::rpc {

// Largest reply. Batch shares of windows are the largest ones.
inline constexpr int kMaxReplyBytes = 64 << 20;

// Largest request: what servers take and clients send. gRPC has a message whole in memory before
// anybody looks at it, and a server has one of each stream, so this is far less than a reply.
inline constexpr int kMaxRequestBytes = 2 << 20;

// Who has many items to send fills requests up to this; one item alone may be larger.
inline constexpr uint64_t kFullRequestBytes = uint64_t{1} << 20;

// Items of `item_bytes` in one request: as many as fill it, one at least, `most` at most. REQUIRES:
// item_bytes > 0, most > 0.
inline uint64_t ItemsPerRequest(uint64_t item_bytes, uint64_t most) {
  POMPC_CHECK_GT(item_bytes, 0u);
  POMPC_CHECK_GT(most, 0u);
  return std::clamp<uint64_t>(kFullRequestBytes / item_bytes, 1, most);
}

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_MESSAGE_SIZE_H_
