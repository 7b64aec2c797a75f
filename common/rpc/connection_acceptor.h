#ifndef POMPC_COMMON_RPC_CONNECTION_ACCEPTOR_H_
#define POMPC_COMMON_RPC_CONNECTION_ACCEPTOR_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/threads.h"
#include "common/io/descriptors.h"
#include "common/io/listener.h"

namespace pompc::rpc {

struct ConnectionAcceptorOptions {
  // Takes over a connection. Must not block.
  std::function<void(Descriptor connection)> take;
  // Hears whether Health() is OK, whenever that changes. Called from the acceptor's thread.
  std::function<void(bool healthy)> on_health;
  // The interval at which it connects to itself, and the time that the server may take to say its
  // first word on such a connection. (A server of HTTP/2 speaks first.) Generous: a busy machine is
  // not a deaf server.
  absl::Duration check_interval = absl::Seconds(2);
  absl::Duration check_timeout = absl::Seconds(10);
  // What the connection to itself sends first, where the server does not speak before it is spoken
  // to: in TLS (rpc::ClientHello).
  std::string greeting;
};

// Accepts the connections of a server, which gRPC's own listener does not survive: gRPC 1.51 stops
// listening for good once accept() fails for want of a descriptor. Connections that would leave
// fewer than ReservedDescriptors() are closed at once; their clients try again. It connects to
// itself now and then, so that it knows when clients are not served, and why. Where this machine
// does not let it (no loopback, a firewall) it goes by its clients: all is well again once none was
// turned away for an interval. One thread of its own. Thread-safe.
class ConnectionAcceptor {
 public:
  // RESOURCE_EXHAUSTED when descriptors have run out.
  static absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> Start(
      std::unique_ptr<Listener> listener, ConnectionAcceptorOptions options);
  // Stops.
  ~ConnectionAcceptor();

  // OK while new clients are served; UNAVAILABLE saying what keeps them out.
  absl::Status Health() const;

  // Stops listening: the system refuses further connections. Those taken over stay. Idempotent.
  void Stop();

 private:
  // A connection to itself in flight.
  struct Check {
    Descriptor connection;
    absl::Duration deadline;
    // Bytes of the greeting that were sent.
    size_t greeted = 0;
  };

  ConnectionAcceptor(std::unique_ptr<Listener> listener, ConnectionAcceptorOptions options);

  void Run();
  // Blocks until there is something to do.
  void Poll(absl::Duration now);
  void AcceptAll(absl::Duration now);
  void Refuse(int number, absl::Duration now);
  // A client could not be served.
  void TurnedAway(absl::Duration now, const absl::Status& why);
  void BeginCheck(absl::Duration now);
  // True if the connection to itself has something to send.
  bool MustGreet() const { return check_.greeted < options_.greeting.size(); }
  // Looks whether the server has answered.
  void GoOnWithCheck(absl::Duration now);
  // `result` is FAILED_PRECONDITION where it says nothing about the server.
  void EndCheck(absl::Duration now, const absl::Status& result);
  void SetHealth(const absl::Status& health);

  const ConnectionAcceptorOptions options_;
  const std::string address_;

  // Used by the acceptor's thread alone. No listener: it has stopped.
  std::unique_ptr<Listener> listener_;
  Check check_;
  absl::Duration next_check_ = -absl::InfiniteDuration();
  size_t checks_ = 0;
  // When a client was turned away last, if that is what health is about.
  std::optional<absl::Duration> turned_away_;

  PollWaker waker_;

  mutable Mutex mu_;
  absl::Status health_ ABSL_GUARDED_BY(mu_);
  // When the thread was last seen at work.
  absl::Duration seen_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  // Held while stopping.
  Mutex stop_mu_;
  Thread thread_ ABSL_GUARDED_BY(stop_mu_);
};

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_CONNECTION_ACCEPTOR_H_
