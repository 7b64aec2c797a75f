#include "common/rpc/connection_acceptor.h"

#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/bounded_queue.h"
#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/io/low_descriptor_limit.h"
#include "tests/support/await.h"

namespace pompc::rpc {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);

absl::Duration Limit() { return Clock::Real()->Now() + kPatience; }

// A server that says a word on each connection and closes it; when silent it does neither.
class Greeter {
 public:
  explicit Greeter(absl::Duration check_timeout = kPatience) {
    absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Open({"127.0.0.1", 0});
    EXPECT_TRUE(listener.ok()) << listener.status();
    ConnectionAcceptorOptions options;
    options.take = [this](Descriptor connection) { Take(std::move(connection)); };
    options.on_health = [this](bool healthy) { (healthy ? recovered_ : lost_).Set(); };
    options.check_interval = absl::Milliseconds(5);
    options.check_timeout = check_timeout;
    port_ = (*listener)->address().port;
    auto started = ConnectionAcceptor::Start(*std::move(listener), std::move(options));
    EXPECT_TRUE(started.ok()) << started.status();
    acceptor_ = *std::move(started);
  }

  void SetSilent(bool silent) { silent_ = silent; }
  // Connections are taken no more until Release().
  void Hold() { held_ = true; }
  void Release() { released_.Set(); }

  int port() const { return port_; }
  bool lost() const { return lost_.IsSet(); }
  bool AwaitLoss() { return lost_.WaitUntil(Clock::Real(), Limit()); }
  bool AwaitRecovery() { return recovered_.WaitUntil(Clock::Real(), Limit()); }
  std::string Health() const { return std::string(acceptor_->Health().message()); }
  void Stop() { acceptor_->Stop(); }

  // What a client gets: the word, nothing, or an error, as recv() has it.
  ssize_t Ask() const {
    const Descriptor client(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<in_port_t>(port_));
    if (connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      return -1;
    }
    char byte = 0;
    return recv(client.get(), &byte, 1, 0);
  }

 private:
  void Take(Descriptor connection) {
    if (held_) released_.Wait();
    if (silent_) {
      silent_connections_.push_back(std::move(connection));
    } else {
      send(connection.get(), "x", 1, MSG_NOSIGNAL);
    }
  }

  int port_ = 0;
  std::atomic<bool> silent_ = false;
  std::atomic<bool> held_ = false;
  Event released_, lost_, recovered_;
  // This runs on the acceptor's thread.
  std::vector<Descriptor> silent_connections_;
  std::unique_ptr<ConnectionAcceptor> acceptor_;
};

// Opens descriptors until `most` are open or the limit is reached.
std::vector<Descriptor> Fill(int most) {
  std::vector<Descriptor> filling;
  while (true) {
    Descriptor fd(dup(0));
    if (!fd.valid() || fd.get() >= most) return filling;
    filling.push_back(std::move(fd));
  }
}

// Fills the descriptors of the process up to the bound, until `greeter` has refused a connection.
std::vector<Descriptor> FillUntilRefused(const Greeter& greeter) {
  std::vector<Descriptor> filling;
  // A check in flight gives its numbers back after a filling, so one filling may not be enough.
  EXPECT_TRUE(Await([&] {
    for (Descriptor& fd : Fill(ConnectionDescriptorBound())) filling.push_back(std::move(fd));
    return greeter.lost();
  }));
  return filling;
}

TEST(ConnectionAcceptor, HandsConnectionsOver) {
  Greeter greeter;
  EXPECT_EQ(greeter.Ask(), 1);
  EXPECT_EQ(greeter.Health(), "");
  greeter.Stop();
  greeter.Stop();
  EXPECT_EQ(greeter.Health(), "stopping");
  EXPECT_EQ(greeter.Ask(), -1);
}

// This is so in TLS. A check that got no answer would hold up the next one for as long as the
// patience is.
TEST(ConnectionAcceptor, GreetsAServerThatDoesNotSpeakFirst) {
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Open({"127.0.0.1", 0});
  ASSERT_TRUE(listener.ok()) << listener.status();
  BoundedQueue<Descriptor> taken(64);
  std::atomic<int> greeted = 0;
  Thread server("server", [&] {
    while (std::optional<Descriptor> connection = taken.Pop(Clock::Real())) {
      pollfd readable = {connection->get(), POLLIN, 0};
      poll(&readable, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience)));
      char word[8] = {};
      if (recv(connection->get(), word, sizeof(word), 0) != 5) continue;
      EXPECT_STREQ(word, "hello");
      send(connection->get(), "x", 1, MSG_NOSIGNAL);
      ++greeted;
    }
  });
  ConnectionAcceptorOptions options;
  options.take = [&](Descriptor connection) { EXPECT_TRUE(taken.Push(std::move(connection))); };
  options.check_interval = absl::Milliseconds(5);
  options.check_timeout = kPatience;
  options.greeting = "hello";
  auto acceptor = ConnectionAcceptor::Start(*std::move(listener), std::move(options));
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  EXPECT_TRUE(Await([&] { return greeted > 2; }));
  EXPECT_TRUE((*acceptor)->Health().ok());
  (*acceptor)->Stop();
  taken.Close();
  server.Join();
}

TEST(ConnectionAcceptor, RefusesBeyondTheBoundAndRecovers) {
  Greeter greeter;
  const LowDescriptorLimit low(200);
  std::vector<Descriptor> filling = FillUntilRefused(greeter);
  EXPECT_THAT(greeter.Health(), HasSubstr("descriptors are open, of 200 allowed; 50 are kept"));
  EXPECT_EQ(greeter.Ask(), 0);
  filling.clear();
  ASSERT_TRUE(greeter.AwaitRecovery());
  EXPECT_EQ(greeter.Health(), "");
  EXPECT_EQ(greeter.Ask(), 1);
}

TEST(ConnectionAcceptor, RecoversWhenDescriptorsRanOut) {
  Greeter greeter;
  const LowDescriptorLimit low(200);
  std::vector<Descriptor> filling = Fill(200);
  ASSERT_TRUE(greeter.AwaitLoss());
  EXPECT_THAT(greeter.Health(), AnyOf(HasSubstr("Too many open files"), HasSubstr("kept free")));
  filling.clear();
  ASSERT_TRUE(greeter.AwaitRecovery());
  EXPECT_EQ(greeter.Health(), "");
  EXPECT_EQ(greeter.Ask(), 1);
}

// Has the kernel drop what comes to the sockets of this process that listen on `port`, as a
// firewall would.
void DropAllThatComesTo(int port) {
  sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program = {1, &drop};
  int dropped = 0;
  for (int fd = 0; fd < DescriptorLimit(); ++fd) {
    int listens = 0;
    socklen_t size = sizeof(listens);
    sockaddr_in address{};
    socklen_t address_size = sizeof(address);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0 ||
        getsockname(fd, reinterpret_cast<sockaddr*>(&address), &address_size) != 0 ||
        ntohs(address.sin_port) != port) {
      continue;
    }
    dropped += setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
  }
  EXPECT_EQ(dropped, 1);
}

TEST(ConnectionAcceptor, AConnectionThatIsHeldBackOnItsWayIsNoDeafServer) {
  Greeter greeter(/*check_timeout=*/absl::Milliseconds(30));
  const LowDescriptorLimit low(200);
  std::vector<Descriptor> filling = FillUntilRefused(greeter);
  DropAllThatComesTo(greeter.port());
  filling.clear();
  EXPECT_TRUE(greeter.AwaitRecovery()) << greeter.Health();
}

void BringLoopbackUp(int any_socket) {
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  EXPECT_EQ(ioctl(any_socket, SIOCSIFFLAGS, &request), 0);
}

void TakeLoopbackAddressAway(int any_socket) {
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_addr.sa_family = AF_INET;
  EXPECT_EQ(ioctl(any_socket, SIOCSIFADDR, &request), 0);
}

TEST(ConnectionAcceptor, RecoversWhereItCannotReachItself) {
  int refusal = 0;
  // The thread leaves the network of the process, and so does what it opens.
  Thread thread("lonely", [&refusal] {
    if (unshare(CLONE_NEWNET) != 0) {
      refusal = errno;
      return;
    }
    const Descriptor network(socket(AF_INET, SOCK_STREAM, 0));
    BringLoopbackUp(network.get());
    Greeter greeter;
    const LowDescriptorLimit low(200);
    std::vector<Descriptor> filling = FillUntilRefused(greeter);
    TakeLoopbackAddressAway(network.get());
    filling.clear();
    EXPECT_TRUE(greeter.AwaitRecovery()) << greeter.Health();
  });
  thread.Join();
  if (refusal != 0) {
    GTEST_SKIP() << "this needs a network namespace, which the system allows to root: "
                 << std::strerror(refusal);
  }
}

TEST(ConnectionAcceptor, AServerThatSaysNothingIsNoticed) {
  Greeter greeter(/*check_timeout=*/absl::Milliseconds(30));
  greeter.SetSilent(true);
  ASSERT_TRUE(greeter.AwaitLoss());
  EXPECT_THAT(greeter.Health(), HasSubstr("did not answer a connection within 30ms"));
  greeter.SetSilent(false);
  EXPECT_TRUE(greeter.AwaitRecovery());
}

TEST(ConnectionAcceptor, AServerThatTakesNothingIsNoticed) {
  Greeter greeter(/*check_timeout=*/absl::Milliseconds(30));
  greeter.Hold();
  const absl::Duration limit = Limit();
  std::string health;
  while (health.find("has accepted no connection for") == std::string::npos &&
         Clock::Real()->Now() < limit) {
    health = greeter.Health();
  }
  EXPECT_THAT(health, HasSubstr("has accepted no connection for"));
  greeter.Release();
  while (!greeter.Health().empty() && Clock::Real()->Now() < limit) {
  }
  EXPECT_EQ(greeter.Health(), "");
}

}  // namespace
}  // namespace pompc::rpc
