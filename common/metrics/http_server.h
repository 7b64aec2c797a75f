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
  // "host:port" of a loopback address; port 0 means any free port.
  std::string listen = "127.0.0.1:0";
  // Also allows addresses that other hosts can reach.
  bool allow_remote = false;
  // If not empty, every request but that for /healthz needs the line "Authorization: Bearer TOKEN",
  // and is answered with 401 otherwise.
  std::string token;
  // The metrics that /metrics shows.
  std::shared_ptr<MetricsRegistry> metrics;
  // Decides what /healthz answers: 200 if OK, else 503 with the message. Called from the server's
  // threads. Empty means always healthy.
  std::function<absl::Status()> health;
};

struct HttpPage {
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Serves /metrics, /healthz and the role's own pages to Prometheus and people, on a port of its
// own. It answers GET and HEAD, one request for each connection. Thread-safe. One thread reads and
// writes all connections and two make the pages, so that no client waits for another that is silent
// or slow. A client has 5 s to send its request and 5 s to take the answer. At most
// ReservedDescriptors() / 2 connections (and at most 512) are open; one more replaces the oldest
// that has sent no request yet.
//
// It has a server of its own because prometheus-cpp's starts threads whose stacks are too small for
// a process with LibTorch, and cpp-httplib's lets a silent client occupy a thread and stops
// accepting for good after some errors.
class HttpServer {
 public:
  // Fails with INVALID_ARGUMENT, FAILED_PRECONDITION or UNAVAILABLE as rpc::Server::Start does.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpServerOptions options);
  // Calls Stop.
  virtual ~HttpServer() = default;

  // Serves `page` under `path` ("/status"), in place of an earlier page there. `page` is called
  // from the server's threads until Stop() has returned.
  virtual void AddPage(const std::string& path, std::function<HttpPage()> page) = 0;

  // Returns "host:port" with the port that it listens on.
  virtual const std::string& address() const = 0;
  virtual int port() const = 0;

  // Accepts no more connections and waits for answers in progress, for less than 2 s whatever
  // clients do. Idempotent.
  virtual void Stop() = 0;
};

// Reads a token from a file, without the white space around it. INVALID_ARGUMENT naming the file if
// it cannot be read, is empty, is longer than 4096 bytes, or holds more than one word.
absl::StatusOr<std::string> ReadTokenFile(const std::string& path);

// Returns the body of http://<address><path>. Fails with UNAVAILABLE if there is no answer within
// `timeout` (for each of connecting, sending and reading) or if its status is not 200.
absl::StatusOr<std::string> HttpGet(const std::string& address, const std::string& path,
                                    absl::Duration timeout = absl::Seconds(3));

}  // namespace pompc

#endif  // POMPC_COMMON_METRICS_HTTP_SERVER_H_
