#ifndef POMPC_COMMON_RPC_WIRE_H_
#define POMPC_COMMON_RPC_WIRE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "proto/common.pb.h"
#include "proto/parameter_version.h"

// What the messages of all services have in common: the header by which both sides know that they
// belong together, and text that the other side can read.

namespace pompc::rpc {

// Version of the messages in proto/. Raised when a change makes an older peer misread them.
inline constexpr uint32_t kWireVersion = 2;

// Most queries in one PlanRequest.
inline constexpr int kMaxPlanQueries = 64;

// Key of the trailing metadata in which a server that refuses a call says after how many
// milliseconds there is likely to be room: a whole number of at least 1 in decimal digits.
inline constexpr char kRetryAfterKey[] = "pompc-retry-after-ms";

// Header of a message of run `run_id`; empty where the caller does not know it yet.
proto::Header MakeHeader(absl::string_view run_id);

// FAILED_PRECONDITION naming both values if the peer speaks another wire version or belongs to a
// run other than `run_id`.
absl::Status CheckHeader(const proto::Header& header, absl::string_view run_id);

// The same for calls whose header may lack the run, because the caller learns it from the answer.
absl::Status CheckOpenHeader(const proto::Header& header, absl::string_view run_id);

// The wire version alone.
absl::Status CheckWireVersion(const proto::Header& header);

// gRPC sends a message whose `string` field is not UTF-8, but its receiver cannot parse it and does
// not say why. The functions below find and mend such fields. They visit all text fields of a
// message, so they are for control messages, not for rows and plans.

// Path of the first text field that is not UTF-8, as in "status.run_dir"; empty if there is none.
std::string FieldThatIsNoText(const google::protobuf::Message& message);

// Makes every text field UTF-8, as ToUtf8 does.
void MakeText(google::protobuf::Message* message);

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_WIRE_H_
