#include "common/values/numbers.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace pompc {
namespace {

// Removes the digits at the beginning of `text`, and returns how many there were.
size_t ConsumeDigits(absl::string_view* text) {
  const size_t digits = static_cast<size_t>(
      std::find_if_not(text->begin(), text->end(), absl::ascii_isdigit) - text->begin());
  text->remove_prefix(digits);
  return digits;
}

bool HasLeadingZero(absl::string_view text) {
  return text.size() > 1 && text[0] == '0' && absl::ascii_isdigit(text[1]);
}

// Returns whether `text` has digits with at most one point among them and, after them, at most an
// exponent. absl::SimpleAtod alone would also accept blanks, "inf" and hexadecimal numbers.
bool IsDecimalNumber(absl::string_view text) {
  absl::ConsumePrefix(&text, "-");
  if (HasLeadingZero(text)) return false;
  size_t digits = ConsumeDigits(&text);
  if (absl::ConsumePrefix(&text, ".")) digits += ConsumeDigits(&text);
  if (digits == 0) return false;
  if (absl::ConsumePrefix(&text, "e") || absl::ConsumePrefix(&text, "E")) {
    if (!absl::ConsumePrefix(&text, "-")) absl::ConsumePrefix(&text, "+");
    if (ConsumeDigits(&text) == 0) return false;
  }
  return text.empty();
}

}  // namespace

bool IsDecimalInteger(absl::string_view text) {
  if (text == "0") return true;
  absl::ConsumePrefix(&text, "-");
  return !text.empty() && text[0] != '0' && ConsumeDigits(&text) > 0 && text.empty();
}

std::optional<double> ParseNumber(absl::string_view text) {
  double value = 0;
  if (!IsDecimalNumber(text) || !absl::SimpleAtod(text, &value) || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

}  // namespace pompc
