#ifndef POMPC_COMMON_IO_LISTEN_ADDRESS_H_
#define POMPC_COMMON_IO_LISTEN_ADDRESS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pompc {

// A local address to listen on.
struct ListenAddress {
  std::string host;  // as written, without the brackets of IPv6
  int port = 0;      // 0: any free one

  // host:port again, with brackets where needed.
  std::string ToString() const;
  // Whether only this machine reaches it.
  bool IsLoopback() const;
};

// INVALID_ARGUMENT if `text` is not host:port with a port of 0 to 65535.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

// As ParseListenAddress; FAILED_PRECONDITION also if other hosts could reach it and `insecure` does
// not allow that: what listens there is neither encrypted nor authenticated.
absl::StatusOr<ListenAddress> CheckListenAddress(absl::string_view text, bool insecure);

}  // namespace pompc

#endif  // POMPC_COMMON_IO_LISTEN_ADDRESS_H_
