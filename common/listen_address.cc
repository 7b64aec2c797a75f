#include "common/listen_address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/numbers.h"

namespace pompc {
namespace {

absl::Status CannotListen(const ListenAddress& address, absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address.ToString(), ": ", why));
}

// 0 or the errno of binding one resolved address.
int TryBind(const addrinfo& info) {
  const int fd = socket(info.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const bool bound = bind(fd, info.ai_addr, info.ai_addrlen) == 0 && listen(fd, 1) == 0;
  const int error = bound ? 0 : errno;
  close(fd);
  return error;
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
      "\"", text, "\" is no address to listen on; expected host:port with a port of 0 to 65535"));
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

absl::StatusOr<ListenAddress> CheckListenAddress(absl::string_view text, bool insecure) {
  absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
  if (!address.ok() || insecure || address->IsLoopback()) return address;
  return absl::FailedPreconditionError(
      absl::StrCat("refusing to listen on ", text,
                   ": other hosts can reach it and connections are plaintext; give --insecure to "
                   "allow that, or listen on 127.0.0.1"));
}

absl::Status ProbeListen(const ListenAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = absl::StrCat(address.port);
  const int error = getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) return CannotListen(address, gai_strerror(error));
  const int bind_error = TryBind(*found);
  freeaddrinfo(found);
  if (bind_error != 0) return CannotListen(address, std::strerror(bind_error));
  return absl::OkStatus();
}

}  // namespace pompc
