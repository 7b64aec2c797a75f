#ifndef POMPC_COMMON_VALUES_NUMBERS_H_
#define POMPC_COMMON_VALUES_NUMBERS_H_

#include <charconv>
#include <concepts>
#include <limits>
#include <optional>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace pompc {

// Numbers as people write them: in flags, in the environment, in addresses, in settings. They read
// the same in every locale.

// Whether `text` is a whole number in decimal: digits without a leading zero, behind a minus sign
// where it is negative. A blank, a plus sign, a leading zero (octal in C), 0x, an exponent and
// minus zero make it none.
bool IsDecimalInteger(absl::string_view text);

// The whole number of `min` to `max` that `text` says in decimal. INVALID_ARGUMENT quoting the text
// and naming the range for all else, numbers too large for T included.
template <std::integral T>
absl::StatusOr<T> ParseInteger(absl::string_view text,
                               std::type_identity_t<T> min = std::numeric_limits<T>::min(),
                               std::type_identity_t<T> max = std::numeric_limits<T>::max()) {
  T value = 0;
  const char* const end = text.data() + text.size();
  if (IsDecimalInteger(text)) {
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc() && stop == end && value >= min && value <= max) return value;
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", absl::Utf8SafeCEscape(text),
                                                 "\"; allowed: integer in decimal, ", min, " to ",
                                                 max));
}

// The finite number that `text` says in decimal, with a fraction and an exponent if need be (-0.5,
// .5, 1e-3); absent for all else: blanks, a plus sign before the number, leading zeros, hexadecimal
// digits, NaN and infinity.
std::optional<double> ParseNumber(absl::string_view text);

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_NUMBERS_H_
