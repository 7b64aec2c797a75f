#include "common/io/listen_address.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/values/numbers.h"

namespace pompc {

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

}  // namespace pompc
