#ifndef POMPC_COMMON_VALUES_UTF8_H_
#define POMPC_COMMON_VALUES_UTF8_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace pompc {

// Stands at the beginning of files that some editors write; it is no part of their text.
inline constexpr absl::string_view kByteOrderMark = "\xef\xbb\xbf";

// Bytes of the character that `bytes`, which is not empty, begins with; 0 if it begins with none.
// The encoding is that of RFC 3629: overlong forms, surrogates and values above U+10FFFF are no
// characters. Protobuf refuses them as well.
size_t Utf8CharacterSize(absl::string_view bytes);

// Whether the bytes are text in UTF-8. File names, host names and flags may be any bytes; messages,
// web pages and metrics carry text alone.
bool IsUtf8(absl::string_view bytes);

// The bytes as text for people to read: each byte that belongs to no character is written as \xHH.
// Text comes back as it is.
std::string ToUtf8(absl::string_view bytes);

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_UTF8_H_
