#ifndef POMPC_COMMON_VALUES_FLOAT_BYTES_H_
#define POMPC_COMMON_VALUES_FLOAT_BYTES_H_

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace pompc {

// Conversion between arrays of numbers and the `bytes` fields of messages, which are little-endian
// and without padding. Hosts are little-endian, so it is a copy; the bytes need no alignment.
static_assert(std::endian::native == std::endian::little, "payloads are little-endian");

template <typename T>
concept WireNumber =
    std::same_as<T, float> || std::same_as<T, uint8_t> || std::same_as<T, uint64_t>;

// Appends `values` to `*bytes`.
template <WireNumber T>
void AppendBytes(absl::Span<const T> values, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

template <WireNumber T>
std::string ToBytes(absl::Span<const T> values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// Returns INVALID_ARGUMENT, naming `name` and both sizes, if `bytes` are not exactly `count`
// numbers of `number_size` bytes.
absl::Status CheckByteCount(absl::string_view bytes, size_t count, size_t number_size,
                            absl::string_view name);

// Copies `bytes` into `values`, which has the expected size. Fails with INVALID_ARGUMENT, and
// leaves `values` untouched, if `bytes` has another size; the message calls the bytes `name`.
template <WireNumber T>
absl::Status FromBytes(absl::string_view bytes, absl::string_view name, absl::Span<T> values) {
  absl::Status status = CheckByteCount(bytes, values.size(), sizeof(T), name);
  if (status.ok() && !bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return status;
}

// Does the same into a new vector of `count` numbers.
template <WireNumber T>
absl::StatusOr<std::vector<T>> FromBytes(absl::string_view bytes, absl::string_view name,
                                         size_t count) {
  absl::Status status = CheckByteCount(bytes, count, sizeof(T), name);
  if (!status.ok()) return status;
  std::vector<T> values(count);
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// Returns a view of the whole numbers in `bytes`; bytes after the last whole number are left out.
// The argument is a std::string because its characters are aligned well enough for numbers: as
// malloc aligns them if they are on the heap, and as a pointer if they are in the string itself.
template <WireNumber T>
absl::Span<const T> NumbersIn(const std::string& bytes) {
  return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
}

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_FLOAT_BYTES_H_
