#include "common/values/short_text.h"

#include <algorithm>

#include "common/values/utf8.h"

namespace pompc {
namespace {

constexpr absl::string_view kEllipsis = "...";

}  // namespace

std::string ShortText(absl::string_view text, size_t max_bytes) {
  std::string out;
  // The last position at which the text can be cut and the dots still fit.
  size_t cut = 0;
  while (!text.empty()) {
    const size_t length = Utf8CharacterSize(text);
    std::string character(text.substr(0, std::max<size_t>(length, 1)));
    // A byte that begins no character is replaced alone: the next one may begin one.
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
