#include "common/io/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/process/log.h"
#include "common/values/numbers.h"

namespace pompc {
namespace {

// A shortage lasts for a while; retrying at once would only use up the processor.
constexpr absl::Duration kPause = absl::Milliseconds(100);
// The most connections in a row that were closed before they could be accepted. After so many the
// thread does its other work first.
constexpr int kBrokenInARow = 64;
// Attempts to find a port that is free on all addresses of a host.
constexpr int kPortTries = 16;

absl::Status CannotListen(const ListenAddress& address, absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address.ToString(), ": ", why));
}

void SetOption(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof(value));
}

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::StatusOr<AddressList> Resolve(const ListenAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address.host.c_str(), absl::StrCat(address.port).c_str(), &hints,
                                &found);
  if (error == 0) return AddressList(found, freeaddrinfo);
  return CannotListen(address, error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error));
}

in_port_t& PortOf(sockaddr_storage& address) {
  return address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                       : reinterpret_cast<sockaddr_in&>(address).sin_port;
}

sockaddr_storage BoundAddress(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
  return bound;
}

// Returns a socket that listens on one resolved address, or an invalid one with errno set.
Descriptor ListenOn(const addrinfo& info, int port) {
  sockaddr_storage address{};
  POMPC_CHECK_LE(info.ai_addrlen, sizeof(address));
  std::memcpy(&address, info.ai_addr, info.ai_addrlen);
  PortOf(address) = htons(static_cast<in_port_t>(port));
  Descriptor fd(socket(info.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fd;
  SetOption(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  // Accepted connections inherit this option: messages are sent when they are written.
  SetOption(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  // With this, "[::]" accepts IPv4 as well.
  if (info.ai_family == AF_INET6) SetOption(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), info.ai_addrlen) == 0 &&
      listen(fd.get(), SOMAXCONN) == 0) {
    return fd;
  }
  const int error = errno;
  fd.Reset();
  errno = error;
  return fd;
}

// /etc/hosts may contain an address twice.
bool IsRepeated(const addrinfo* first, const addrinfo* info) {
  for (; first != info; first = first->ai_next) {
    if (first->ai_addrlen == info->ai_addrlen &&
        std::memcmp(first->ai_addr, info->ai_addr, info->ai_addrlen) == 0) {
      return true;
    }
  }
  return false;
}

// Opens one socket for each resolved address that this machine has. If the port is 0, the first
// socket chooses it for all. Returns 0 or the system's error number.
int ListenOnAll(const addrinfo* first, int* port, std::vector<Descriptor>* sockets) {
  int missing = EADDRNOTAVAIL;
  for (const addrinfo* info = first; info != nullptr; info = info->ai_next) {
    if (IsRepeated(first, info)) continue;
    Descriptor fd = ListenOn(*info, *port);
    if (fd.valid()) {
      sockaddr_storage bound = BoundAddress(fd.get());
      *port = ntohs(PortOf(bound));
      sockets->push_back(std::move(fd));
    } else if (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT) {
      // "localhost" also resolves to an IPv6 address on machines without IPv6.
      missing = errno;
    } else {
      return errno;
    }
  }
  return sockets->empty() ? missing : 0;
}

bool IsShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// Turns the bound address into one that a client can connect to: a wildcard is reached by loopback.
void ReplaceWildcard(sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) {
    in6_addr& host = reinterpret_cast<sockaddr_in6&>(address).sin6_addr;
    if (IN6_IS_ADDR_UNSPECIFIED(&host)) host = in6addr_loopback;
  } else {
    in_addr& host = reinterpret_cast<sockaddr_in&>(address).sin_addr;
    if (host.s_addr == htonl(INADDR_ANY)) host.s_addr = htonl(INADDR_LOOPBACK);
  }
}

}  // namespace

std::string ListenAddress::ToString() const {
  const bool v6 = absl::StrContains(host, ':');
  return absl::StrCat(v6 ? "[" : "", host, v6 ? "]:" : ":", port);
}

bool ListenAddress::IsLoopback() const {
  return host == "localhost" || host == "::1" || absl::StartsWith(host, "127.");
}

absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text) {
  const absl::Status error = absl::InvalidArgumentError(absl::StrCat(
      "\"", text,
      "\" is not an address to listen on; allowed: host:port with a port from 0 to 65535"));
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return error;
  absl::string_view host = text.substr(0, colon);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
  } else if (absl::StrContains(host, ':')) {
    return error;
  }
  const absl::StatusOr<int> port = ParseInteger<int>(text.substr(colon + 1), 0, 65535);
  if (host.empty() || !port.ok()) return error;
  return ListenAddress{std::string(host), *port};
}

absl::StatusOr<ListenAddress> CheckListenAddress(absl::string_view text, bool allowed,
                                                 absl::string_view remedy) {
  absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
  if (!address.ok() || allowed || address->IsLoopback()) return address;
  return absl::FailedPreconditionError(
      absl::StrCat("refusing to listen on ", text,
                   ": other hosts can reach it, and nothing there says who they are; ", remedy,
                   ", or listen on 127.0.0.1"));
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(const ListenAddress& address) {
  absl::StatusOr<AddressList> found = Resolve(address);
  if (!found.ok()) return found.status();
  int error = 0;
  // A port that the system chose for the first address may be in use on the next one.
  for (int i = 0; i < (address.port == 0 ? kPortTries : 1); ++i) {
    std::unique_ptr<Listener> listener(new Listener(address));
    error = ListenOnAll(found->get(), &listener->address_.port, &listener->sockets_);
    if (error == 0) return listener;
    if (error != EADDRINUSE) break;
  }
  return CannotListen(address, std::strerror(error));
}

void Listener::AddTo(std::vector<pollfd>* polled, absl::Duration now) const {
  if (now < paused_until_) return;
  for (const Descriptor& socket : sockets_) polled->push_back({socket.get(), POLLIN, 0});
}

absl::Duration Listener::paused_until(absl::Duration now) const {
  return now < paused_until_ ? paused_until_ : absl::InfiniteDuration();
}

// gRPC 1.51 and cpp-httplib stop listening for good after some errors of accept(); this loop exists
// so that no error does that.
Descriptor Listener::Accept(absl::Duration now) {
  if (now < paused_until_) return Descriptor();
  for (const Descriptor& socket : sockets_) {
    for (int broken = 0; broken < kBrokenInARow; ++broken) {
      Descriptor connection(accept4(socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (connection.valid()) {
        shortage_ = absl::OkStatus();
        return connection;
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      // Every other error concerns this one connection only, as accept(2) says about Linux.
      if (!IsShortage(errno)) continue;
      shortage_ = absl::ResourceExhaustedError(
          absl::StrCat("cannot accept connections: ", std::strerror(errno)));
      paused_until_ = now + kPause;
      if (const uint64_t times = tell_.Count(now); times > 0) {
        Log().warn("{}: {} ({} times)", address_.ToString(), std::string(shortage_.message()),
                   times);
      }
      return Descriptor();
    }
  }
  shortage_ = absl::OkStatus();
  return Descriptor();
}

absl::Status Listener::ConnectError(int error) {
  const std::string why = std::strerror(error);
  if (IsShortage(error)) return absl::ResourceExhaustedError(why);
  if (error == ECONNREFUSED || error == ECONNRESET) return absl::UnavailableError(why);
  return absl::FailedPreconditionError(why);
}

absl::StatusOr<Descriptor> Listener::ConnectToSelf(size_t turn) const {
  POMPC_CHECK(!sockets_.empty());
  sockaddr_storage address = BoundAddress(sockets_[turn % sockets_.size()].get());
  ReplaceWildcard(address);
  Descriptor fd(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ConnectError(errno);
  const socklen_t size =
      address.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 &&
      errno != EINPROGRESS && errno != EINTR) {
    return ConnectError(errno);
  }
  return fd;
}

}  // namespace pompc
