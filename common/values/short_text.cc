#include "common/values/short_text.h"

#include <algorithm>
#include <cstdint>

namespace pompc {
namespace {

constexpr absl::string_view kEllipsis = "...";

bool IsContinuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

// Length of the UTF-8 character at the beginning of `text`, which is not empty; 0 if there is none.
// Overlong forms, surrogates and code points beyond U+10FFFF are none: protobuf refuses them too.
size_t CharacterLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(byte(i))) return 0;
  }
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) > 0x9f) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) > 0x8f) return 0;
  return length;
}

}  // namespace

std::string ShortText(absl::string_view text, size_t max_bytes) {
  std::string out;
  // Where it can be cut so that the dots have room.
  size_t cut = 0;
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    std::string character(text.substr(0, std::max<size_t>(length, 1)));
    if (length == 0) character = "?";
    const auto first = static_cast<unsigned char>(character[0]);
    if (first < 0x20 || first == 0x7f) character = " ";
    if (out.size() + character.size() > max_bytes) {
      out.resize(cut);
      out += std::string(kEllipsis.substr(0, max_bytes - cut));
      return out;
    }
    out += character;
    if (out.size() + kEllipsis.size() <= max_bytes) cut = out.size();
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

}  // namespace pompc
