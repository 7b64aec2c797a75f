#include "common/rpc/connection_acceptor.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/process/log.h"

namespace pompc::rpc {
namespace {

// Connections accepted before the thread looks at its other work.
constexpr int kAcceptedInARow = 256;

// What the server's first word on a connection says of its health: nothing yet, all is well, or why
// not; FAILED_PRECONDITION: the connection was never made, through no fault of the server.
struct FirstWord {
  bool heard = false;
  absl::Status status;
};

FirstWord Listen(int fd) {
  char byte = 0;
  const ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);
  if (got > 0) return {true, absl::OkStatus()};
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOTCONN)) {
    return {};
  }
  if (got < 0 && absl::IsFailedPrecondition(Listener::ConnectError(errno))) {
    return {true, absl::FailedPreconditionError(std::strerror(errno))};
  }
  const char* why = got == 0 ? "closed by the server" : std::strerror(errno);
  return {true, absl::UnavailableError(absl::StrCat("refuses connections: ", why))};
}

// The system makes a connection without the server, which only accepts it: one that was not made
// was held back on its way.
bool IsConnected(int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof(peer);
  return getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> ConnectionAcceptor::Start(
    std::unique_ptr<Listener> listener, ConnectionAcceptorOptions options) {
  std::unique_ptr<ConnectionAcceptor> acceptor(
      new ConnectionAcceptor(std::move(listener), std::move(options)));
  POMPC_RETURN_IF_ERROR(acceptor->waker_.Open());
  MutexLock lock(&acceptor->stop_mu_);
  acceptor->thread_ = Thread("rpc-accept", [raw = acceptor.get()] { raw->Run(); });
  return acceptor;
}

ConnectionAcceptor::ConnectionAcceptor(std::unique_ptr<Listener> listener,
                                       ConnectionAcceptorOptions options)
    : options_(std::move(options)),
      address_(listener->address().ToString()),
      listener_(std::move(listener)),
      seen_(Clock::Real()->Now()) {
  POMPC_CHECK(options_.take != nullptr, "somebody must take the connections");
  POMPC_CHECK(options_.check_interval > absl::ZeroDuration());
}

ConnectionAcceptor::~ConnectionAcceptor() { Stop(); }

absl::Status ConnectionAcceptor::Health() const {
  const absl::Duration now = Clock::Real()->Now();
  MutexLock lock(&mu_);
  if (stopping_) return absl::UnavailableError("stopping");
  // The thread comes by at every check; it may hang in what takes connections over.
  if (now - seen_ > options_.check_interval + options_.check_timeout) {
    return absl::UnavailableError(absl::StrCat(address_, " has accepted no connection for ",
                                               absl::ToInt64Seconds(now - seen_), " s"));
  }
  return health_;
}

void ConnectionAcceptor::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
  }
  waker_.Wake();
  MutexLock lock(&stop_mu_);
  thread_.Join();
}

void ConnectionAcceptor::Run() {
  while (true) {
    const absl::Duration now = Clock::Real()->Now();
    {
      MutexLock lock(&mu_);
      seen_ = now;
      if (stopping_) break;
    }
    if (!check_.connection.valid() && now >= next_check_) BeginCheck(now);
    Poll(now);
    AcceptAll(Clock::Real()->Now());
    GoOnWithCheck(Clock::Real()->Now());
  }
  listener_.reset();
  check_.connection.Reset();
}

void ConnectionAcceptor::Poll(absl::Duration now) {
  // One thread for everything that has to do with new connections: waking it, the listener, and the
  // check of its own address. The shortest of the deadlines ends the wait.
  std::vector<pollfd> polled = {{waker_.fd(), POLLIN, 0}};
  listener_->AddTo(&polled, now);
  absl::Duration until = next_check_;
  if (check_.connection.valid()) {
    until = check_.deadline;
    const int16_t events = MustGreet() ? POLLOUT : POLLIN;
    polled.push_back({check_.connection.get(), events, 0});
  }
  until = std::min(until, listener_->paused_until(now));
  poll(polled.data(), polled.size(), PollTimeout(until - now));
}

void ConnectionAcceptor::AcceptAll(absl::Duration now) {
  for (int i = 0; i < kAcceptedInARow; ++i) {
    Descriptor connection = listener_->Accept(now);
    if (!connection.valid()) break;
    // Descriptors are numbered from the lowest free one, so a high number means that few are left.
    // What remains is for files: a checkpoint that cannot be opened would cost more than a client.
    if (connection.get() >= ConnectionDescriptorBound()) {
      Refuse(connection.get(), now);
    } else {
      options_.take(std::move(connection));
    }
  }
  const absl::Status& shortage = listener_->shortage();
  if (!shortage.ok()) TurnedAway(now, absl::UnavailableError(shortage.message()));
}

void ConnectionAcceptor::Refuse(int number, absl::Duration now) {
  TurnedAway(now, absl::UnavailableError(absl::StrCat(
                      "refuses connections: ", number, " file descriptors are open, of ",
                      DescriptorLimit(), " allowed; ", ReservedDescriptors(), " are kept free")));
}

void ConnectionAcceptor::TurnedAway(absl::Duration now, const absl::Status& why) {
  turned_away_ = now;
  SetHealth(why);
}

void ConnectionAcceptor::BeginCheck(absl::Duration now) {
  POMPC_CHECK(!check_.connection.valid(), "one check at a time");
  next_check_ = now + options_.check_interval;
  absl::StatusOr<Descriptor> connection = listener_->ConnectToSelf(checks_++);
  if (connection.ok()) {
    check_ = {*std::move(connection), now + options_.check_timeout};
  } else if (absl::IsFailedPrecondition(connection.status())) {
    EndCheck(now, connection.status());
  } else {
    EndCheck(now, absl::UnavailableError(absl::StrCat("no connection to ", address_, ": ",
                                                      connection.status().message())));
  }
}

void ConnectionAcceptor::GoOnWithCheck(absl::Duration now) {
  if (!check_.connection.valid()) return;
  if (MustGreet()) {
    // What cannot be sent now shows when the answer is read.
    const ssize_t sent =
        send(check_.connection.get(), options_.greeting.data() + check_.greeted,
             options_.greeting.size() - check_.greeted, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) check_.greeted += static_cast<size_t>(sent);
  }
  // A server of gRPC speaks first (its HTTP/2 settings). A connection that the system made and on
  // which nothing comes shows a server that hangs.
  const FirstWord word = Listen(check_.connection.get());
  if (word.heard) {
    EndCheck(now, word.status);
  } else if (now >= check_.deadline && !IsConnected(check_.connection.get())) {
    EndCheck(now, absl::FailedPreconditionError("no connection was made"));
  } else if (now >= check_.deadline) {
    EndCheck(now, absl::UnavailableError(
                      absl::StrCat(address_, " did not answer a connection within ",
                                   absl::FormatDuration(options_.check_timeout))));
  }
}

void ConnectionAcceptor::EndCheck(absl::Duration now, const absl::Status& result) {
  check_.connection.Reset();
  next_check_ = now + options_.check_interval;
  if (absl::IsFailedPrecondition(result)) {
    // Nothing is known but what became of clients.
    if (!turned_away_.has_value() || now - *turned_away_ < options_.check_interval) return;
  } else if (!result.ok()) {
    {
      MutexLock lock(&mu_);
      // If the check itself was refused, health_ already has the true reason.
      if (!health_.ok()) return;
    }
    return SetHealth(result);
  }
  turned_away_.reset();
  SetHealth(absl::OkStatus());
}

void ConnectionAcceptor::SetHealth(const absl::Status& health) {
  bool changed = false;
  {
    MutexLock lock(&mu_);
    changed = health.ok() != health_.ok();
    health_ = health;
  }
  if (!changed) return;
  if (health.ok()) {
    Log().info("{}: serves new connections again", address_);
  } else {
    Log().warn("{}: {}", address_, std::string(health.message()));
  }
  if (options_.on_health) options_.on_health(health.ok());
}

}  // namespace pompc::rpc
