#ifndef POMPC_LEARNER_STATUS_PAGES_H_
#define POMPC_LEARNER_STATUS_PAGES_H_

#include <functional>
#include <memory>

#include "common/metrics/http_server.h"
#include "learner/app.h"

namespace pompc::learner {

// Serves the status page under / and /status, its document under /status.json and the videos that
// the document names. `app` is called for each request; the pages are empty where it returns null.
void AddStatusPages(HttpServer& http, std::function<std::shared_ptr<const App>()> app);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_STATUS_PAGES_H_
