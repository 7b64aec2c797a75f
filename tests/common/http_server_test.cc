#include "common/http_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "common/clock.h"
#include "common/thread.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<HttpServer> Started(HttpServerOptions options) {
  auto server = HttpServer::Start(std::move(options));
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

int ConnectTo(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

TEST(HttpServer, ServesMetricsHealthAndPages) {
  auto metrics = std::make_shared<MetricsRegistry>();
  metrics->Counter({"pompc_replay_rows_total", "Rows.", {}}).Increment(5);
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
              HasSubstr("404: no page /nothing; there are: /metrics, /healthz, /status"));
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
  EXPECT_TRUE(HttpServer::Start({.listen = "0.0.0.0:0", .insecure = true}).ok());
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

TEST(HttpServer, StopsInTwoSecondsWithSilentClients) {
  auto server = Started({});
  const int silent = ConnectTo(server->port());
  // Comes after the silent client, so that one is being waited for.
  EXPECT_TRUE(HttpGet(server->address(), "/healthz").ok());
  const int halfway = ConnectTo(server->port());
  ASSERT_GT(write(halfway, "GET /met", 8), 0);
  const absl::Duration start = Clock::Real()->Now();
  server->Stop();
  EXPECT_LT(Clock::Real()->Now() - start, absl::Seconds(2));
  close(silent);
  close(halfway);
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
