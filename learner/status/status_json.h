#ifndef POMPC_LEARNER_STATUS_STATUS_JSON_H_
#define POMPC_LEARNER_STATUS_STATUS_JSON_H_

#include <cstddef>
#include <string>

#include "learner/status/status_view.h"

namespace pompc::learner {

// The version of the JSON document. It grows when a field is removed or changes its meaning.
inline constexpr int kStatusFormat = 1;

// The document of docs/status.md. Texts are UTF-8: other bytes are written as \xHH (ToUtf8). Series
// have at most `max_points` points. REQUIRES: max_points >= 3.
std::string StatusJson(const StatusView& view, size_t max_points);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_STATUS_STATUS_JSON_H_
