#ifndef POMPC_COMMON_BASE_RANDOM_ID_H_
#define POMPC_COMMON_BASE_RANDOM_ID_H_

#include <cstdint>
#include <random>

namespace pompc {

// Another number with each call, in all processes: names what must not be taken for something else
// of its kind. Never 0, which may stand for "unknown". Nothing that is learned may depend on it.
inline uint64_t RandomId() {
  std::random_device device;
  return ((uint64_t{device()} << 32) | device()) | 1;
}

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_RANDOM_ID_H_
