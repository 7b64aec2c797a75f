#ifndef POMPC_COMMON_RPC_MESSAGE_TEXT_H_
#define POMPC_COMMON_RPC_MESSAGE_TEXT_H_

#include <string>

#include "google/protobuf/message.h"

namespace pompc::rpc {

// A message with a `string` field that is not UTF-8 is sent, but whoever receives it cannot read it
// and says no more than that. These find and mend such fields. They visit all text fields of a
// message: they are for control messages, not for rows and plans.

// Path of the first text field that is not UTF-8, as in "status.run_dir"; empty if there is none.
std::string FieldThatIsNoText(const google::protobuf::Message& message);

// Makes every text field UTF-8, as ToUtf8 does.
void MakeText(google::protobuf::Message* message);

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_MESSAGE_TEXT_H_
