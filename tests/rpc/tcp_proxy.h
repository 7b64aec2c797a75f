#ifndef POMPC_TESTS_RPC_TCP_PROXY_H_
#define POMPC_TESTS_RPC_TCP_PROXY_H_

#include <atomic>
#include <string>
#include <vector>

#include "common/base/threads.h"

namespace pompc::rpc {

// Forwards loopback connections to another port of this host until told to freeze: then both ends
// see a peer that neither sends nor closes, as when a host lost its power or a cable was cut.
class TcpProxy {
 public:
  explicit TcpProxy(int target_port);
  // Closes all connections.
  ~TcpProxy();

  // "127.0.0.1:port".
  const std::string& address() const { return address_; }

  // No byte goes through any more, in connections that exist and in new ones.
  void Freeze() { frozen_ = true; }

 private:
  void Run();
  void Accept();
  // Moves what one end sent to the other; false when the connection is over.
  static bool Forward(int from, int to);

  const int target_port_;
  std::string address_;
  int listener_ = -1;
  std::atomic<bool> frozen_ = false;
  std::atomic<bool> ended_ = false;
  // Both ends of each connection, one after the other; -1 when closed. Of the thread alone.
  std::vector<int> ends_;
  Thread thread_;
};

}  // namespace pompc::rpc

#endif  // POMPC_TESTS_RPC_TCP_PROXY_H_
