#include "common/values/utf8.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace pompc {

size_t Utf8CharacterSize(absl::string_view bytes) {
  if (bytes.empty()) return 0;
  const auto at = [bytes](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t first = at(0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (bytes.size() < size) return 0;
  // The bounds of the second byte. Narrower ones than 0x80..0xbf exclude overlong forms, surrogates
  // and values above U+10FFFF.
  const uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (at(1) < low || at(1) > high) return 0;
  for (size_t i = 2; i < size; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  return size;
}

bool IsUtf8(absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t size = Utf8CharacterSize(bytes);
    if (size == 0) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

std::string ToUtf8(absl::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t size = Utf8CharacterSize(bytes);
    if (size == 0) {
      absl::StrAppend(&text, "\\x",
                      absl::Hex(static_cast<uint8_t>(bytes[0]), absl::kZeroPad2));
    } else {
      text.append(bytes.data(), size);
    }
    bytes.remove_prefix(size == 0 ? 1 : size);
  }
  return text;
}

}  // namespace pompc
