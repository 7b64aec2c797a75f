#ifndef POMPC_COMMON_VALUES_SHORT_TEXT_H_
#define POMPC_COMMON_VALUES_SHORT_TEXT_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace pompc {

// `text` made fit for a message, a log line or a page, wherever it comes from: valid UTF-8 on one
// line, at most `max_bytes` bytes. Bytes that are no UTF-8 become '?', line breaks and other
// control characters spaces; what is too long is cut at a character and ends in "...".
std::string ShortText(absl::string_view text, size_t max_bytes);

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_SHORT_TEXT_H_
