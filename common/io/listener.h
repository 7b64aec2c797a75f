#ifndef POMPC_COMMON_IO_LISTENER_H_
#define POMPC_COMMON_IO_LISTENER_H_

#include <poll.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/occasionally.h"
#include "common/io/descriptors.h"

namespace pompc {

// A local address to listen on.
struct ListenAddress {
  std::string host;  // as given, without the brackets of IPv6
  int port = 0;      // 0 means any free port

  // Returns host:port, with brackets where they are needed.
  std::string ToString() const;
  // Returns whether only this machine can reach the address.
  bool IsLoopback() const;
};

// Fails with INVALID_ARGUMENT if `text` is not host:port with a port from 0 to 65535.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

// Does the same, and fails with FAILED_PRECONDITION if other hosts could reach the address and
// `allowed` is false. The message ends with `remedy`, which says what would allow it: "give
// --insecure".
absl::StatusOr<ListenAddress> CheckListenAddress(absl::string_view text, bool allowed,
                                                 absl::string_view remedy);

// The sockets that listen on one address, for a thread that polls: the thread waits for what
// AddTo() adds and then calls Accept() until no connection is left. Failures to accept never end
// it: after a shortage of descriptors or memory it pauses for a moment and resumes. Not
// thread-safe.
class Listener {
 public:
  // Listens on every address that the host resolves to and that this machine has, all with the same
  // port. Fails with UNAVAILABLE, naming the address and the reason ("Address already in use").
  static absl::StatusOr<std::unique_ptr<Listener>> Open(const ListenAddress& address);

  // Stops listening.
  ~Listener() = default;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Returns the address given to Open, with the port that it listens on.
  const ListenAddress& address() const { return address_; }

  // Adds the sockets to what a thread waits for, except during the pause after a shortage.
  void AddTo(std::vector<pollfd>* polled, absl::Duration now) const;
  // Returns when the pause ends, or InfiniteDuration() if there is none.
  absl::Duration paused_until(absl::Duration now) const;

  // Accepts the next connection that waits. The descriptor does not block; it is invalid if no
  // connection waits.
  Descriptor Accept(absl::Duration now);

  // Returns RESOURCE_EXHAUSTED if the newest attempt to accept failed for lack of descriptors or
  // memory.
  const absl::Status& shortage() const { return shortage_; }

  // Connects this process to the listening socket number `turn` (modulo their count). The
  // connection may still be in progress. Fails with UNAVAILABLE if it is refused, with
  // RESOURCE_EXHAUSTED if no descriptor is free, and with FAILED_PRECONDITION if this machine
  // cannot reach its own address, which says nothing about the listener.
  absl::StatusOr<Descriptor> ConnectToSelf(size_t turn) const;
  // Returns the same error for a connection that failed later with the system's error number
  // `error`.
  static absl::Status ConnectError(int error);

 private:
  explicit Listener(ListenAddress address) : address_(std::move(address)) {}

  ListenAddress address_;
  std::vector<Descriptor> sockets_;
  absl::Duration paused_until_ = -absl::InfiniteDuration();
  absl::Status shortage_;
  Occasionally tell_{absl::Seconds(30)};
};

}  // namespace pompc

#endif  // POMPC_COMMON_IO_LISTENER_H_
