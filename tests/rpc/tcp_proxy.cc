#include "tests/rpc/tcp_proxy.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace pompc::rpc {
namespace {

constexpr int kPollMs = 20;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

}  // namespace

TcpProxy::TcpProxy(int target_port)
    : target_port_(target_port), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
  listen(listener_, 16);
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  thread_ = Thread("tcp-proxy", [this] { Run(); });
}

TcpProxy::~TcpProxy() {
  ended_ = true;
  thread_.Join();
  close(listener_);
  for (int fd : ends_) {
    if (fd >= 0) close(fd);
  }
}

void TcpProxy::Run() {
  while (!ended_) {
    std::vector<pollfd> polled = {{listener_, POLLIN, 0}};
    if (!frozen_) {
      for (int fd : ends_) polled.push_back({fd, POLLIN, 0});
    }
    poll(polled.data(), polled.size(), kPollMs);
    if (frozen_) continue;
    if (polled[0].revents != 0) Accept();
    for (size_t i = 1; i < polled.size(); ++i) {
      const size_t mine = i - 1, other = mine ^ 1;
      if (polled[i].revents == 0 || ends_[mine] < 0) continue;
      if (Forward(ends_[mine], ends_[other])) continue;
      close(ends_[mine]);
      close(ends_[other]);
      ends_[mine] = ends_[other] = -1;
    }
  }
}

void TcpProxy::Accept() {
  const int client = accept(listener_, nullptr, nullptr);
  const int server = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(target_port_);
  if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    close(client);
    close(server);
    return;
  }
  ends_.push_back(client);
  ends_.push_back(server);
}

bool TcpProxy::Forward(int from, int to) {
  char buffer[16384];
  const ssize_t size = read(from, buffer, sizeof(buffer));
  return size > 0 && send(to, buffer, static_cast<size_t>(size), MSG_NOSIGNAL) == size;
}

}  // namespace pompc::rpc
