#include "common/rpc/wire.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace pompc::rpc {

proto::Header MakeHeader(absl::string_view run_id) {
  proto::Header header;
  header.set_wire_version(kWireVersion);
  header.set_run_id(std::string(run_id));
  return header;
}

absl::Status CheckWireVersion(const proto::Header& header) {
  if (header.wire_version() == kWireVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "peer speaks wire version ", header.wire_version(), ", this process version ", kWireVersion));
}

absl::Status CheckHeader(const proto::Header& header, absl::string_view run_id) {
  POMPC_RETURN_IF_ERROR(CheckWireVersion(header));
  if (header.run_id() == run_id) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("peer belongs to run \"", header.run_id(),
                                                    "\", this process to run \"", run_id, "\""));
}

absl::Status CheckOpenHeader(const proto::Header& header, absl::string_view run_id) {
  return header.run_id().empty() ? CheckWireVersion(header) : CheckHeader(header, run_id);
}

}  // namespace pompc::rpc
