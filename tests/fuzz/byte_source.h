#ifndef POMPC_TESTS_FUZZ_BYTE_SOURCE_H_
#define POMPC_TESTS_FUZZ_BYTE_SOURCE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "absl/strings/string_view.h"

namespace pompc {

// Reads what a fuzz target needs from the front of its input; zeros once the input is used up. Not
// thread-safe.
class ByteSource {
 public:
  ByteSource(const uint8_t* data, size_t size) : left_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return left_.empty(); }

  template <typename T>
  T Number() {
    static_assert(std::is_arithmetic_v<T>);
    T number = {};
    const absl::string_view bytes = Bytes(sizeof(T));
    if (!bytes.empty()) std::memcpy(&number, bytes.data(), bytes.size());
    return number;
  }
  // A number below `n`, which is 1 to 256, from one byte.
  uint32_t Below(uint32_t n) { return Number<uint8_t>() % n; }

  // The next `size` bytes, or those that are left.
  absl::string_view Bytes(size_t size) {
    const absl::string_view taken = left_.substr(0, size);
    left_.remove_prefix(taken.size());
    return taken;
  }
  absl::string_view Rest() { return Bytes(left_.size()); }

 private:
  absl::string_view left_;
};

}  // namespace pompc

#endif  // POMPC_TESTS_FUZZ_BYTE_SOURCE_H_
