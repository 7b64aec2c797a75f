#include "common/metrics/http_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "common/base/threads.h"
#include "common/io/descriptors.h"
#include "common/process/log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "spdlog/sinks/sink.h"
#include "tests/common/io/low_descriptor_limit.h"

namespace pompc {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::unique_ptr<HttpServer> Started(HttpServerOptions options) {
  auto server = HttpServer::Start(std::move(options));
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

void Connect(int fd, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
}

int ConnectTo(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  Connect(fd, port);
  return fd;
}

TEST(HttpServer, ServesMetricsHealthAndPages) {
  auto metrics = std::make_shared<MetricsRegistry>();
  const MetricSource source = metrics->AddSource(
      [](MetricSamples& out) { out.Counter("pompc_replay_rows_total", "Rows.", 5); });
  const auto server = Started({.metrics = metrics});
  server->AddPage("/status", [] { return HttpPage{.body = "all is well"}; });
  EXPECT_GT(server->port(), 0);
  EXPECT_THAT(HttpGet(server->address(), "/metrics").value(),
              HasSubstr("pompc_replay_rows_total 5\n"));
  EXPECT_EQ(HttpGet(server->address(), "/healthz").value(), "ok\n");
  EXPECT_EQ(HttpGet(server->address(), "/status").value(), "all is well");
}

TEST(HttpServer, UnhealthyAnswers503WithTheReason) {
  const auto server =
      Started({.health = [] { return absl::UnavailableError("holds no parameters"); }});
  const auto health = HttpGet(server->address(), "/healthz");
  EXPECT_EQ(health.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(health.status().message()), HasSubstr("503: holds no parameters"));
}

TEST(HttpServer, UnknownPageListsThoseThereAre) {
  const auto server = Started({});
  server->AddPage("/status", [] { return HttpPage{}; });
  const auto page = HttpGet(server->address(), "/nothing");
  EXPECT_THAT(std::string(page.status().message()),
              HasSubstr("404: there is no page /nothing; pages: /metrics, /healthz, /status"));
}

TEST(HttpServer, BusyPortIsNamed) {
  const auto server = Started({});
  const auto second = HttpServer::Start({.listen = server->address()});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              ::testing::AllOf(HasSubstr(server->address()), HasSubstr("in use")));
}

TEST(HttpServer, BeyondLoopbackNeedsInsecure) {
  EXPECT_EQ(HttpServer::Start({.listen = "0.0.0.0:0"}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(HttpServer::Start({.listen = "0.0.0.0:0", .allow_remote = true}).ok());
  EXPECT_EQ(HttpServer::Start({.listen = "here"}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(HttpServer, PortIsFreeAgainAfterStop) {
  auto server = Started({});
  const std::string address = server->address();
  EXPECT_TRUE(HttpGet(address, "/healthz").ok());
  server->Stop();
  server->Stop();
  EXPECT_EQ(HttpGet(address, "/healthz").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(HttpServer::Start({.listen = address}).ok());
}

TEST(HttpServer, StopsBeforeSilentClientsHaveHadTheirTime) {
  auto server = Started({});
  const int silent = ConnectTo(server->port());
  // Comes after the silent client, so that one is being waited for.
  EXPECT_TRUE(HttpGet(server->address(), "/healthz").ok());
  const int halfway = ConnectTo(server->port());
  ASSERT_GT(write(halfway, "GET /met", 8), 0);
  const absl::Duration start = Clock::Real()->Now();
  server->Stop();
  EXPECT_LT(Clock::Real()->Now() - start, absl::Seconds(5));
  close(silent);
  close(halfway);
}

// The whole answer to what a client sends, to the end of the connection.
std::string Answer(int port, const std::string& request) {
  const Descriptor client(ConnectTo(port));
  EXPECT_EQ(send(client.get(), request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t got = 0; (got = recv(client.get(), buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(got));
  }
  return answer;
}

// A client that waited for one silent client after the other would wait for minutes; a machine that
// is busy may take its time.
constexpr absl::Duration kPatience = absl::Seconds(10);

TEST(HttpServer, SilentClientsDelayNobody) {
  RaiseDescriptorLimit();
  const auto server = Started({.metrics = std::make_shared<MetricsRegistry>()});
  std::vector<Descriptor> silent;
  for (const size_t clients : {size_t{100}, size_t{500}, size_t{600}}) {
    while (silent.size() < clients) {
      silent.emplace_back(ConnectTo(server->port()));
      // Some stop in the middle.
      if (silent.size() % 2 == 0) send(silent.back().get(), "GET /met", 8, MSG_NOSIGNAL);
    }
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(HttpGet(server->address(), "/metrics", kPatience).ok()) << clients;
    }
  }
}

TEST(HttpServer, ClientsThatTakeNoAnswerDelayNobody) {
  constexpr size_t kLarge = 16 << 20;  // more than the kernel buffers
  const auto server = Started({});
  server->AddPage("/large", [] { return HttpPage{.body = std::string(kLarge, 'x')}; });
  const std::string request = "GET /large HTTP/1.1\r\n\r\n";
  std::vector<Descriptor> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back(ConnectTo(server->port()));
    ASSERT_GT(send(clients.back().get(), request.data(), request.size(), MSG_NOSIGNAL), 0);
  }
  EXPECT_TRUE(HttpGet(server->address(), "/healthz", kPatience).ok());
  EXPECT_EQ(HttpGet(server->address(), "/large", absl::Seconds(20))->size(), kLarge);
}

// Waits for a line of the log that has `part` in it. Must live longer than whoever logs.
class AwaitedLine {
 public:
  explicit AwaitedLine(const std::string& part) {
    auto sink = std::make_shared<Sink>();
    sink->part = part;
    sink_ = sink.get();
    Log().sinks().push_back(std::move(sink));
  }
  ~AwaitedLine() { Log().sinks().pop_back(); }

  // False if it has not come within a generous time.
  bool Await() {
    return sink_->logged.WaitUntil(Clock::Real(), Clock::Real()->Now() + absl::Seconds(60));
  }

 private:
  struct Sink : public spdlog::sinks::sink {
    void log(const spdlog::details::log_msg& line) override {
      if (std::string(line.payload.data(), line.payload.size()).find(part) != std::string::npos) {
        logged.Set();
      }
    }
    void flush() override {}
    void set_pattern(const std::string&) override {}
    void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

    std::string part;
    Event logged;
  };

  Sink* sink_ = nullptr;
};

TEST(HttpServer, GoesOnAfterDescriptorsRanOut) {
  AwaitedLine shortage("cannot accept connections");
  const auto server = Started({});
  const Descriptor client(socket(AF_INET, SOCK_STREAM, 0));
  {
    const LowDescriptorLimit low(100);
    std::vector<Descriptor> filling;
    do {
      filling.emplace_back(dup(0));
    } while (filling.back().valid());
    // The kernel takes the connection and the request; the server cannot.
    Connect(client.get(), server->port());
    const std::string request = "GET /healthz HTTP/1.1\r\n\r\n";
    ASSERT_GT(send(client.get(), request.data(), request.size(), MSG_NOSIGNAL), 0);
    EXPECT_TRUE(shortage.Await());
    char byte = 0;
    EXPECT_EQ(recv(client.get(), &byte, 1, MSG_DONTWAIT), -1);
  }
  char answer[12] = {};
  EXPECT_EQ(recv(client.get(), answer, sizeof(answer), MSG_WAITALL), 12);
  EXPECT_EQ(std::string(answer, sizeof(answer)), "HTTP/1.1 200");
  EXPECT_TRUE(HttpGet(server->address(), "/healthz").ok());
}

TEST(HttpServer, UnderstandsWhatClientsSend) {
  const auto server = Started({});
  server->AddPage("/status", [] { return HttpPage{.body = "all is well"}; });
  const int port = server->port();
  EXPECT_THAT(Answer(port, "GET /status?verbose=1 HTTP/1.1\r\nHost: x\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("\r\nContent-Length: 11\r\n"),
                    HasSubstr("\r\nConnection: close\r\n"), EndsWith("\r\n\r\nall is well")));
  EXPECT_THAT(Answer(port, "GET http://here:1/status HTTP/1.0\n\n"), EndsWith("all is well"));
  EXPECT_THAT(Answer(port, "HEAD /status HTTP/1.1\r\n\r\n"),
              AllOf(HasSubstr("Content-Length: 11\r\n"), EndsWith("\r\n\r\n")));
  EXPECT_THAT(Answer(port, "POST /status HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
              AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("\r\nAllow: GET, HEAD\r\n")));
  for (const char* nonsense : {"\r\n\r\n", "GET\r\n\r\n", "GET  HTTP/1.1\r\n\r\n",
                               "GET /status SPDY/9\r\n\r\n", "\x16\x03\x01\n\n"}) {
    EXPECT_THAT(Answer(port, nonsense), StartsWith("HTTP/1.1 400 ")) << nonsense;
  }
  EXPECT_THAT(Answer(port, "GET /" + std::string(40000, 'x')), StartsWith("HTTP/1.1 431 "));
}

TEST(HttpServer, AnswersManyClientsAtOnce) {
  const auto server = Started({});
  std::vector<Thread> clients;
  for (int t = 0; t < 4; ++t) {
    clients.emplace_back("client", [&] {
      for (int i = 0; i < 5; ++i) EXPECT_TRUE(HttpGet(server->address(), "/healthz").ok());
    });
  }
}

}  // namespace
}  // namespace pompc
