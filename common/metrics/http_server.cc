#include "common/metrics/http_server.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/bounded_queue.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/io/descriptors.h"
#include "common/io/files.h"
#include "common/io/listener.h"
#include "httplib.h"

namespace pompc {
namespace {

constexpr int kPageThreads = 2;
constexpr int kMaxConnections = 512;
constexpr size_t kMaxRequestBytes = 16 << 10;
constexpr absl::Duration kRequestTimeout = absl::Seconds(5);
constexpr absl::Duration kAnswerTimeout = absl::Seconds(5);
// The time to wait for the client to close its end after the answer. Closing at once would destroy
// the answer on its way if the client has sent more than was read (TCP then resets the connection).
constexpr absl::Duration kLingerTimeout = absl::Seconds(1);
constexpr absl::Duration kStopTimeout = absl::Milliseconds(1500);
constexpr char kTextType[] = "text/plain; charset=utf-8";

struct Response {
  // The status with its code, "200 OK".
  std::string status;
  HttpPage page;
  // Further lines of the head, each with its line end.
  std::string headers = {};
};

// Each response ends its connection: clients are few, and a connection that stays open would hold
// one of the few descriptors.
std::string Serialize(const Response& response, bool head_only) {
  return absl::StrCat("HTTP/1.1 ", response.status,
                      "\r\nContent-Type: ", response.page.content_type,
                      "\r\nContent-Length: ", response.page.body.size(),
                      "\r\nConnection: close\r\n", response.headers, "\r\n",
                      head_only ? "" : response.page.body);
}

struct Request {
  std::string path;
  bool head_only = false;
  // The token that the client gives, if any.
  std::string token;
  // The answer to a request that is refused.
  std::optional<Response> refusal;
};

Request Refused(std::string status, std::string text, std::string headers = "") {
  return {.refusal = Response{std::move(status), {kTextType, std::move(text)}, std::move(headers)}};
}

// The token of the line "Authorization: Bearer TOKEN" among those after the first.
std::string TokenIn(absl::string_view input) {
  const std::vector<absl::string_view> lines = absl::StrSplit(input, '\n');
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(lines[i], absl::MaxSplits(':', 1));
    if (!absl::EqualsIgnoreCase(field.first, "authorization")) continue;
    const absl::string_view value = absl::StripAsciiWhitespace(field.second);
    if (!absl::StartsWithIgnoreCase(value, "bearer ")) return "";
    return std::string(absl::StripAsciiWhitespace(value.substr(7)));
  }
  return "";
}

// Takes as long whatever the bytes are, so that nobody finds a token byte by byte.
bool IsToken(absl::string_view given, absl::string_view token) {
  unsigned char different = given.size() == token.size() ? 0 : 1;
  for (size_t i = 0; i < token.size(); ++i) {
    different |= static_cast<unsigned char>(token[i] ^ (i < given.size() ? given[i] : '\0'));
  }
  return different == 0;
}

// Reads the first line and the token: no page depends on anything else.
Request ParseRequest(absl::string_view input) {
  const std::vector<absl::string_view> line =
      absl::StrSplit(input.substr(0, input.find_first_of("\r\n")), ' ');
  if (line.size() != 3 || line[1].empty() || !absl::StartsWith(line[2], "HTTP/1.")) {
    return Refused("400 Bad Request", "this is not a request of HTTP/1.1\n");
  }
  if (line[0] != "GET" && line[0] != "HEAD") {
    return Refused("405 Method Not Allowed", "pages can only be read: GET, HEAD\n",
                   "Allow: GET, HEAD\r\n");
  }
  absl::string_view path = line[1];
  // A proxy may send the whole address instead of the path.
  if (absl::StartsWith(path, "http://")) {
    const size_t slash = path.find('/', 7);
    path = slash == absl::string_view::npos ? "/" : path.substr(slash);
  }
  path = path.substr(0, path.find_first_of("?#"));
  return {.path = std::string(path), .head_only = line[0] == "HEAD", .token = TokenIn(input)};
}

bool IsComplete(absl::string_view input) {
  return absl::StrContains(input, "\r\n\r\n") || absl::StrContains(input, "\n\n");
}

struct Connection {
  enum class State { kReading, kAnswering, kWriting, kLingering };

  Descriptor socket;
  State state = State::kReading;
  absl::Duration deadline;
  std::string input;
  std::string output;
  size_t written = 0;
};

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

// Half of the reserved descriptors: the rest is for files (common/io/descriptors.h).
int MaxConnections() { return std::min(kMaxConnections, ReservedDescriptors() / 2); }

class PollServer final : public HttpServer {
 public:
  explicit PollServer(HttpServerOptions options) : options_(std::move(options)) {}
  ~PollServer() override { Stop(); }

  absl::Status Open() {
    POMPC_ASSIGN_OR_RETURN(const ListenAddress address,
                           CheckListenAddress(options_.listen, options_.allow_remote,
                                              "give --metrics-token-file or --certificates, or "
                                              "--insecure where all may read it"));
    POMPC_ASSIGN_OR_RETURN(listener_, Listener::Open(address));
    POMPC_RETURN_IF_ERROR(waker_.Open());
    POMPC_CHECK_GT(MaxConnections(), 0);
    port_ = listener_->address().port;
    address_ = listener_->address().ToString();
    MutexLock lock(&stop_mu_);
    for (int i = 0; i < kPageThreads; ++i) {
      threads_.emplace_back(absl::StrCat("http-page-", i), [this] { MakePages(); });
    }
    threads_.emplace_back("http", [this] { Run(); });
    return absl::OkStatus();
  }

  void Stop() override {
    {
      MutexLock lock(&mu_);
      stopping_ = true;
    }
    waker_.Wake();
    MutexLock lock(&stop_mu_);
    for (Thread& thread : threads_) thread.Join();
  }

  void AddPage(const std::string& path, std::function<HttpPage()> page) override {
    MutexLock lock(&mu_);
    pages_[path] = std::move(page);
  }

  const std::string& address() const override { return address_; }
  int port() const override { return port_; }

 private:
  using Connections = std::map<uint64_t, Connection>;

  // A request that waits for its page, and a page on its way back.
  struct Question {
    uint64_t connection;
    Request request;
  };
  struct Answer {
    uint64_t connection;
    std::string bytes;
  };

  // --- These run in the thread of all connections.

  // A connection is read, waits for its page, is written, and lingers. Only this thread touches
  // connections_, so none of this needs a lock; pages come back through answers_.
  void Run() {
    absl::Duration end = absl::InfiniteDuration();
    while (true) {
      const absl::Duration now = Clock::Real()->Now();
      if (listener_ != nullptr && StopAsked()) {
        end = now + kStopTimeout;
        listener_.reset();
      }
      if (listener_ == nullptr) CloseIdle();
      if (now >= end || (listener_ == nullptr && connections_.empty())) break;
      const std::vector<uint64_t> ready = AwaitReady(now, end);
      const absl::Duration later = Clock::Real()->Now();
      for (const uint64_t id : ready) Advance(connections_.find(id), later);
      TakeAnswers(later);
      if (listener_ != nullptr) AcceptAll(later);
    }
    // Requests that nobody took are dropped with their connections; the threads that make pages
    // then find the queue closed.
    connections_.clear();
    while (questions_.TryPop().has_value()) {
    }
    questions_.Close();
  }

  bool StopAsked() {
    MutexLock lock(&mu_);
    return stopping_;
  }

  // Closes the connections that have not sent a request or have got their answer.
  void CloseIdle() {
    std::erase_if(connections_, [](const auto& entry) {
      return entry.second.state == Connection::State::kReading ||
             entry.second.state == Connection::State::kLingering;
    });
  }

  // Returns the oldest connection that has not sent its request yet.
  Connections::iterator OldestSilent() {
    return std::find_if(connections_.begin(), connections_.end(), [](const auto& entry) {
      return entry.second.state == Connection::State::kReading;
    });
  }

  bool IsFull() const { return static_cast<int>(connections_.size()) >= MaxConnections(); }

  // Blocks until connections can be read or written, their time is up, there is something else to
  // do, or `end` is reached. Returns those connections.
  std::vector<uint64_t> AwaitReady(absl::Duration now, absl::Duration end) {
    std::vector<pollfd> polled;
    for (const auto& [id, connection] : connections_) {
      end = std::min(end, connection.deadline);
      // A connection that waits for its page is left out: poll would report a client that hung up
      // again and again, and nothing can be done about it.
      const bool waits = connection.state == Connection::State::kAnswering;
      const bool writes = connection.state == Connection::State::kWriting;
      polled.push_back({waits ? -1 : connection.socket.get(),
                        static_cast<int16_t>(writes ? POLLOUT : POLLIN), 0});
    }
    polled.push_back({waker_.fd(), POLLIN, 0});
    // While all connections are being answered, new ones wait in the kernel's queue.
    if (listener_ != nullptr && (!IsFull() || OldestSilent() != connections_.end())) {
      listener_->AddTo(&polled, now);
      end = std::min(end, listener_->paused_until(now));
    }
    poll(polled.data(), polled.size(), PollTimeout(end - now));
    waker_.Clear();
    const absl::Duration later = Clock::Real()->Now();
    std::vector<uint64_t> ready;
    size_t i = 0;
    for (const auto& [id, connection] : connections_) {
      if (polled[i++].revents != 0 || later >= connection.deadline) ready.push_back(id);
    }
    return ready;
  }

  void AcceptAll(absl::Duration now) {
    for (int i = 0; i < kMaxConnections; ++i) {
      const auto oldest = IsFull() ? OldestSilent() : connections_.end();
      if (IsFull() && oldest == connections_.end()) return;
      Connection connection{.socket = listener_->Accept(now), .deadline = now + kRequestTimeout};
      if (!connection.socket.valid()) return;
      if (oldest != connections_.end()) connections_.erase(oldest);
      connections_.emplace(next_id_++, std::move(connection));
    }
  }

  // Reads or writes as much as is possible now, and closes the connection when it has ended or its
  // time is up.
  void Advance(Connections::iterator it, absl::Duration now) {
    Connection& connection = it->second;
    bool open = now < connection.deadline;
    switch (connection.state) {
      case Connection::State::kReading:
        open = open && Read(it->first, connection, now);
        break;
      case Connection::State::kWriting:
        open = open && Write(connection, now);
        break;
      case Connection::State::kLingering: {
        std::array<char, 4096> unwanted;
        const ssize_t got =
            recv(connection.socket.get(), unwanted.data(), unwanted.size(), MSG_DONTWAIT);
        open = open && (got > 0 || (got < 0 && WouldBlock()));
        break;
      }
      case Connection::State::kAnswering:
        break;
    }
    if (!open) connections_.erase(it);
  }

  // Health is for those who start and watch processes, and says nothing of the run.
  bool IsAllowed(const Request& request) const {
    return options_.token.empty() || request.path == "/healthz" ||
           IsToken(request.token, options_.token);
  }

  // Returns false when the client has gone.
  bool Read(uint64_t id, Connection& connection, absl::Duration now) {
    std::array<char, 4096> buffer;
    const ssize_t got = recv(connection.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got <= 0) return got < 0 && WouldBlock();
    connection.input.append(buffer.data(), static_cast<size_t>(got));
    Request request;
    if (IsComplete(connection.input)) {
      request = ParseRequest(connection.input);
      if (!request.refusal.has_value() && !IsAllowed(request)) {
        request = Refused("401 Unauthorized", "this page needs a token\n",
                          "WWW-Authenticate: Bearer\r\n");
      }
    } else if (connection.input.size() > kMaxRequestBytes) {
      request = Refused("431 Request Header Fields Too Large", "the request is too long\n");
    } else {
      return true;
    }
    if (request.refusal.has_value()) {
      return StartWriting(connection, Serialize(*request.refusal, request.head_only), now);
    }
    connection.state = Connection::State::kAnswering;
    connection.deadline = absl::InfiniteDuration();
    // The queue has room for one question of each connection, and no connection asks twice.
    POMPC_CHECK(questions_.Push({id, std::move(request)}));
    return true;
  }

  bool StartWriting(Connection& connection, std::string bytes, absl::Duration now) {
    connection.state = Connection::State::kWriting;
    connection.deadline = now + kAnswerTimeout;
    connection.output = std::move(bytes);
    return Write(connection, now);
  }

  bool Write(Connection& connection, absl::Duration now) {
    while (connection.written < connection.output.size()) {
      const ssize_t sent = send(connection.socket.get(), &connection.output[connection.written],
                                connection.output.size() - connection.written,
                                MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0) return WouldBlock();
      connection.written += static_cast<size_t>(sent);
    }
    shutdown(connection.socket.get(), SHUT_WR);
    connection.state = Connection::State::kLingering;
    connection.deadline = now + kLingerTimeout;
    return true;
  }

  void TakeAnswers(absl::Duration now) {
    std::vector<Answer> answers;
    {
      MutexLock lock(&mu_);
      answers.swap(answers_);
    }
    for (Answer& answer : answers) {
      const auto it = connections_.find(answer.connection);
      POMPC_CHECK(it != connections_.end(), "a connection stays until it is answered");
      if (!StartWriting(it->second, std::move(answer.bytes), now)) connections_.erase(it);
    }
  }

  // --- These run in the threads that make pages.

  void MakePages() {
    while (std::optional<Question> question = questions_.Pop(Clock::Real())) {
      const Request& request = question->request;
      Answer answer{question->connection, Serialize(MakePage(request.path), request.head_only)};
      {
        MutexLock lock(&mu_);
        answers_.push_back(std::move(answer));
      }
      waker_.Wake();
    }
  }

  // Pages run in these threads, never in that of the connections: a page may wait for a lock.
  Response MakePage(const std::string& path) {
    if (path == "/metrics" && options_.metrics != nullptr) {
      return {"200 OK", {"text/plain; version=0.0.4; charset=utf-8", options_.metrics->ToText()}};
    }
    if (path == "/healthz") {
      const absl::Status health = options_.health ? options_.health() : absl::OkStatus();
      if (health.ok()) return {"200 OK", {kTextType, "ok\n"}};
      return {"503 Service Unavailable", {kTextType, absl::StrCat(health.message(), "\n")}};
    }
    if (const std::function<HttpPage()> page = FindPage(path)) return {"200 OK", page()};
    return {"404 Not Found",
            {kTextType, absl::StrCat("there is no page ", path, "; pages: ", PageList(), "\n")}};
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
  // Set by Open().
  std::string address_;
  int port_ = 0;

  // Used by the thread of all connections alone. The listener is null once the server is stopping.
  std::unique_ptr<Listener> listener_;
  Connections connections_;
  uint64_t next_id_ = 0;

  PollWaker waker_;
  BoundedQueue<Question> questions_{kMaxConnections};

  Mutex mu_;
  std::map<std::string, std::function<HttpPage()>> pages_ ABSL_GUARDED_BY(mu_);
  std::vector<Answer> answers_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  // Held while threads are started and joined.
  Mutex stop_mu_;
  std::vector<Thread> threads_ ABSL_GUARDED_BY(stop_mu_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options) {
  auto server = std::make_unique<PollServer>(std::move(options));
  POMPC_RETURN_IF_ERROR(server->Open());
  return server;
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& path) {
  constexpr size_t kMostBytes = 4096;
  const absl::StatusOr<std::string> text = ReadFile(path, kMostBytes);
  if (!text.ok()) return absl::InvalidArgumentError(text.status().message());
  const std::string token(absl::StripAsciiWhitespace(*text));
  const auto in_word = [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); };
  if (token.empty() || !std::all_of(token.begin(), token.end(), in_word)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " holds no token; expected: one word of printable characters"));
  }
  return token;
}

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
