#ifndef POMPC_COMMON_VALUES_UTF8_H_
#define POMPC_COMMON_VALUES_UTF8_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace pompc {

// Some editors write this at the beginning of a file. It is not part of the text.
inline constexpr absl::string_view kByteOrderMark = "\xef\xbb\xbf";

// Returns the number of bytes of the character at the beginning of `bytes`, or 0 if none is there.
// As in RFC 3629, overlong forms, surrogates and values above U+10FFFF are not characters; protobuf
// refuses them as well.
size_t Utf8CharacterSize(absl::string_view bytes);

// Returns whether the bytes are UTF-8. File names, host names and flags may be any bytes; messages,
// web pages and metrics must be UTF-8.
bool IsUtf8(absl::string_view bytes);

// Returns the bytes as UTF-8 for people to read: each byte that is not part of a character is
// written as \xHH. UTF-8 is returned as it is.
std::string ToUtf8(absl::string_view bytes);

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_UTF8_H_
