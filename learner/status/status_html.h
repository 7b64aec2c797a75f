#ifndef POMPC_LEARNER_STATUS_STATUS_HTML_H_
#define POMPC_LEARNER_STATUS_STATUS_HTML_H_

#include <string>

#include "learner/status/status_view.h"

namespace pompc::learner {

// The web page: markup, style and script of page.{html,css,js} around tables that need no script.
// They show the run, the log and the videos. Texts are escaped.
std::string StatusHtml(const StatusView& view);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_STATUS_STATUS_HTML_H_
