#ifndef POMPC_COMMON_METRICS_HTTP_SERVER_H_
#define POMPC_COMMON_METRICS_HTTP_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/metrics/metrics.h"

namespace pompc {

struct HttpServerOptions {
  // "host:port" of a loopback address; port 0 takes any free one.
  std::string listen = "127.0.0.1:0";
  // Also allows addresses other hosts can reach.
  bool insecure = false;
  // What /metrics shows.
  std::shared_ptr<MetricsRegistry> metrics;
  // What /healthz says: 200 when OK, else 503 with the message. Called from the server's threads;
  // empty means always healthy.
  std::function<absl::Status()> health;
};

struct HttpPage {
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Serves /metrics, /healthz and pages of the role's own to Prometheus and people, on its own port:
// GET and HEAD, one request for each connection. Thread-safe. One thread reads and writes all
// connections, two make the pages, so that no client waits for another that is silent or slow. A
// client gets 5 s to send its request and 5 s to take the answer. At most ReservedDescriptors() / 2
// connections (512 at most) are open: one more replaces the oldest that has sent no request yet.
// (prometheus-cpp's own server cannot be used: it starts its threads with stacks too small for a
// process with LibTorch, and aborts. cpp-httplib's, which was used, lets a silent client occupy a
// thread, and stops accepting for good after some errors.)
class HttpServer {
 public:
  // INVALID_ARGUMENT, FAILED_PRECONDITION or UNAVAILABLE as rpc::Server::Start.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpServerOptions options);
  // Stops it.
  ~HttpServer();

  // Serves `page` under `path` ("/status"), replacing an earlier one. It is called from the
  // server's threads until Stop() has returned.
  void AddPage(const std::string& path, std::function<HttpPage()> page);

  // "host:port".
  const std::string& address() const;
  int port() const;

  // Takes no more connections and waits for answers in progress, under 2 s whatever clients do.
  // Idempotent.
  void Stop();

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

// The body of http://<address><path>. UNAVAILABLE if there is no answer within `timeout` (for each
// of connecting, sending and reading) or if its status is not 200.
absl::StatusOr<std::string> HttpGet(const std::string& address, const std::string& path,
                                    absl::Duration timeout = absl::Seconds(3));

}  // namespace pompc

#endif  // POMPC_COMMON_METRICS_HTTP_SERVER_H_
