#ifndef POMPC_COMMON_IO_LISTENER_H_
#define POMPC_COMMON_IO_LISTENER_H_

#include <poll.h>

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/occasionally.h"
#include "common/io/descriptors.h"
#include "common/io/listen_address.h"

namespace pompc {

// The sockets that listen on one address, for a thread that polls: it waits for what AddTo() names
// and then calls Accept() until nothing is left. It goes on listening whatever accepting a
// connection fails with: after a shortage of descriptors or memory it tries again a moment later.
// Not thread-safe.
class Listener {
 public:
  // Listens on every address that the host resolves to and this machine has, all with the same
  // port. UNAVAILABLE, naming the address and what is wrong with it ("address already in use").
  static absl::StatusOr<std::unique_ptr<Listener>> Open(const ListenAddress& address);

  // Stops listening.
  ~Listener() = default;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // As given to Open, with the port it listens on.
  const ListenAddress& address() const { return address_; }

  // Adds the sockets to what a thread waits for, but not during the pause after a shortage.
  void AddTo(std::vector<pollfd>* polled, absl::Duration now) const;
  // When the pause ends; InfiniteDuration() without one.
  absl::Duration paused_until(absl::Duration now) const;

  // The next connection that waits, as a descriptor that does not block; invalid when none does.
  Descriptor Accept(absl::Duration now);

  // RESOURCE_EXHAUSTED while the newest attempt to accept failed for want of descriptors or memory.
  const absl::Status& shortage() const { return shortage_; }

  // A connection of this process to the listening socket number `turn` (modulo how many there are),
  // which may still be in progress. UNAVAILABLE when it is refused, RESOURCE_EXHAUSTED without a
  // free descriptor, FAILED_PRECONDITION when this machine cannot reach its own address, which says
  // nothing about the listener.
  absl::StatusOr<Descriptor> ConnectToSelf(size_t turn) const;
  // The same of a connection that failed later, with the system's number for it.
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
