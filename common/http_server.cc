#include "common/http_server.h"

#include <sys/socket.h>

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/bounded_queue.h"
#include "common/clock.h"
#include "common/event.h"
#include "common/listen_address.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "common/thread.h"
#include "httplib.h"

namespace pompc {
namespace {

constexpr int kThreads = 2;
constexpr size_t kQueuedConnections = 16;
constexpr size_t kMaxRequestBytes = 64 << 10;
constexpr char kTextType[] = "text/plain; charset=utf-8";

// Connections accepted and not yet answered. When it is full the accepting thread waits: further
// connections stay in the kernel's bounded queue.
class ConnectionQueue : public httplib::TaskQueue {
 public:
  ConnectionQueue() : tasks_(kQueuedConnections) {
    for (int i = 0; i < kThreads; ++i) {
      threads_.emplace_back(absl::StrCat("http-", i), [this] {
        while (auto task = tasks_.Pop(Clock::Real())) (*task)();
      });
    }
  }

  // Returns void in older versions of the library and bool in newer ones.
  using Enqueued = decltype(std::declval<httplib::TaskQueue>().enqueue(nullptr));
  Enqueued enqueue(std::function<void()> task) override {
    return static_cast<Enqueued>(tasks_.Push(std::move(task)));
  }

  void shutdown() override {
    tasks_.Close();
    for (Thread& thread : threads_) thread.Join();
  }

 private:
  BoundedQueue<std::function<void()>> tasks_;
  std::vector<Thread> threads_;
};

}  // namespace

class HttpServer::Impl {
 public:
  explicit Impl(HttpServerOptions options) : options_(std::move(options)) {
    server_.new_task_queue = [] { return new ConnectionQueue; };
    // The library's default shares a port that another process listens on.
    server_.set_socket_options([](socket_t sock) {
      const int on = 1;
      setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    });
    // One request for each connection, promptly: two silent clients must not occupy both threads,
    // and Stop() waits for them.
    server_.set_keep_alive_max_count(1);
    server_.set_keep_alive_timeout(1);
    server_.set_read_timeout(0, 500000);
    server_.set_write_timeout(1);
    server_.set_payload_max_length(kMaxRequestBytes);
    server_.Get(".*", [this](const httplib::Request& request, httplib::Response& response) {
      Answer(request.path, response);
    });
  }

  absl::Status Start() {
    POMPC_ASSIGN_OR_RETURN(address_, CheckListenAddress(options_.listen, options_.insecure));
    POMPC_RETURN_IF_ERROR(ProbeListen(address_));
    if (address_.port == 0) {
      address_.port = server_.bind_to_any_port(address_.host.c_str());
    } else if (!server_.bind_to_port(address_.host.c_str(), address_.port)) {
      address_.port = -1;
    }
    if (address_.port < 0) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", options_.listen));
    }
    text_address_ = address_.ToString();
    acceptor_ = Thread("http-accept", [this] {
      server_.listen_after_bind();
      ended_.Set();
    });
    // stop() has no effect before the loop runs, and older versions cannot be asked to wait for it.
    while (!server_.is_running() &&
           !ended_.WaitUntil(Clock::Real(), Clock::Real()->Now() + absl::Milliseconds(1))) {
    }
    return absl::OkStatus();
  }

  void Stop() {
    MutexLock lock(&stop_mu_);
    server_.stop();
    acceptor_.Join();
  }

  void AddPage(const std::string& path, std::function<HttpPage()> page) {
    MutexLock lock(&mu_);
    pages_[path] = std::move(page);
  }

  const std::string& text_address() const { return text_address_; }
  int port() const { return address_.port; }

 private:
  void Answer(const std::string& path, httplib::Response& response) {
    if (path == "/metrics" && options_.metrics != nullptr) {
      response.set_content(options_.metrics->ToText(), "text/plain; version=0.0.4; charset=utf-8");
    } else if (path == "/healthz") {
      AnswerHealth(response);
    } else if (std::function<HttpPage()> page = FindPage(path)) {
      const HttpPage content = page();
      response.set_content(content.body, content.content_type.c_str());
    } else {
      response.status = 404;
      response.set_content(absl::StrCat("no page ", path, "; there are: ", PageList(), "\n"),
                           kTextType);
    }
  }

  void AnswerHealth(httplib::Response& response) {
    const absl::Status health = options_.health ? options_.health() : absl::OkStatus();
    response.status = health.ok() ? 200 : 503;
    response.set_content(health.ok() ? "ok\n" : absl::StrCat(health.message(), "\n"), kTextType);
  }

  std::function<HttpPage()> FindPage(const std::string& path) {
    MutexLock lock(&mu_);
    const auto found = pages_.find(path);
    return found == pages_.end() ? nullptr : found->second;
  }

  std::string PageList() {
    MutexLock lock(&mu_);
    std::vector<std::string> paths = {"/metrics", "/healthz"};
    for (const auto& [path, page] : pages_) paths.push_back(path);
    return absl::StrJoin(paths, ", ");
  }

  const HttpServerOptions options_;
  ListenAddress address_;
  std::string text_address_;
  httplib::Server server_;
  Event ended_;
  Thread acceptor_;

  Mutex stop_mu_;

  Mutex mu_;
  std::map<std::string, std::function<HttpPage()>> pages_ ABSL_GUARDED_BY(mu_);
};

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  POMPC_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() { Stop(); }

void HttpServer::AddPage(const std::string& path, std::function<HttpPage()> page) {
  impl_->AddPage(path, std::move(page));
}

const std::string& HttpServer::address() const { return impl_->text_address(); }

int HttpServer::port() const { return impl_->port(); }

void HttpServer::Stop() { impl_->Stop(); }

absl::StatusOr<std::string> HttpGet(const std::string& address, const std::string& path,
                                    absl::Duration timeout) {
  POMPC_ASSIGN_OR_RETURN(ListenAddress parsed, ParseListenAddress(address));
  if (parsed.host == "0.0.0.0") parsed.host = "127.0.0.1";
  httplib::Client client(parsed.host, parsed.port);
  const auto seconds = absl::ToInt64Seconds(timeout);
  const auto rest = absl::ToInt64Microseconds(timeout - absl::Seconds(seconds));
  client.set_connection_timeout(seconds, rest);
  client.set_read_timeout(seconds, rest);
  client.set_write_timeout(seconds, rest);
  const httplib::Result result = client.Get(path.c_str());
  if (!result) {
    return absl::UnavailableError(absl::StrCat("no answer from http://", parsed.ToString(), path,
                                               ": ", httplib::to_string(result.error())));
  }
  if (result->status == 200) return result->body;
  return absl::UnavailableError(absl::StrCat("http://", parsed.ToString(), path, " answers ",
                                             result->status, ": ", result->body));
}

}  // namespace pompc
