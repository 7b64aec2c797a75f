#include "common/float_bytes.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace pompc {
namespace {

absl::Status NonFinite(absl::string_view name, size_t position, float value) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, "[", position, "] is ", value, "; allowed are finite numbers"));
}

// NaN and infinity are the float32 whose exponent bits are all set; testing bits, unlike isfinite,
// survives -ffast-math and vectorises.
bool IsFiniteBits(uint32_t bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

}  // namespace

absl::Status CheckByteCount(absl::string_view bytes, size_t count, size_t number_size,
                            absl::string_view name) {
  if (bytes.size() == count * number_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " has ", bytes.size(), " bytes; expected ",
                                                 count, " numbers of ", number_size, " bytes (",
                                                 count * number_size, ")"));
}

size_t FirstNonFinite(absl::Span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!IsFiniteBits(std::bit_cast<uint32_t>(values[i]))) return i;
  }
  return values.size();
}

absl::Status CheckFinite(absl::Span<const float> values, absl::string_view name) {
  const size_t position = FirstNonFinite(values);
  if (position == values.size()) return absl::OkStatus();
  return NonFinite(name, position, values[position]);
}

absl::Status CheckFloatBytes(absl::string_view bytes, absl::string_view name, size_t count) {
  absl::Status status = CheckByteCount(bytes, count, sizeof(float), name);
  if (!status.ok()) return status;
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, bytes.data() + i * sizeof(bits), sizeof(bits));
    if (!IsFiniteBits(bits)) return NonFinite(name, i, std::bit_cast<float>(bits));
  }
  return absl::OkStatus();
}

}  // namespace pompc
