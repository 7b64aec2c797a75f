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

// Numbers as people write them in flags, environment variables, addresses and settings. They are
// read in the same way in every locale.

// Returns whether `text` is a whole number in decimal: digits without a leading zero, after a minus
// sign if it is negative. Texts with a blank, a plus sign, a leading zero (octal in C), 0x or an
// exponent are not, and neither is minus zero.
bool IsDecimalInteger(absl::string_view text);

// Reads a whole number from `min` to `max` in decimal. Fails with INVALID_ARGUMENT, quoting the
// text and naming the range, for everything else, including numbers that are too large for T.
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

// Reads a finite number in decimal, which may have a fraction and an exponent (-0.5, .5, 1e-3).
// Returns nothing for everything else: blanks, a plus sign before the number, leading zeros,
// hexadecimal digits, NaN and infinity.
std::optional<double> ParseNumber(absl::string_view text);

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_NUMBERS_H_
