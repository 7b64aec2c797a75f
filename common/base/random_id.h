#ifndef POMPC_COMMON_BASE_RANDOM_ID_H_
#define POMPC_COMMON_BASE_RANDOM_ID_H_

#include <cstdint>
#include <random>

namespace pompc {

// Returns a number that no other call in any process returns, to name things that must not be
// confused. It is never 0, which may mean "unknown". Nothing that is learned may depend on it.
inline uint64_t RandomId() {
  std::random_device device;
  return ((uint64_t{device()} << 32) | device()) | 1;
}

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_RANDOM_ID_H_
