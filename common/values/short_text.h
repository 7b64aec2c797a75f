#ifndef POMPC_COMMON_VALUES_SHORT_TEXT_H_
#define POMPC_COMMON_VALUES_SHORT_TEXT_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace pompc {

// Returns `text`, which may come from anywhere, in a form that suits a message, a log line or a
// page: valid UTF-8 on one line, of at most `max_bytes` bytes. Bytes that are not UTF-8 become '?',
// line breaks and other control characters become spaces; a longer text is cut and ends in "...".
std::string ShortText(absl::string_view text, size_t max_bytes);

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_SHORT_TEXT_H_
