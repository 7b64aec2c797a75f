#ifndef POMPC_PROTO_PARAMETER_VERSION_H_
#define POMPC_PROTO_PARAMETER_VERSION_H_

#include "common/values/parameter_version.h"
#include "proto/common.pb.h"

namespace pompc {

// Versions travel as messages and are compared as ParameterVersion.
inline ParameterVersion FromProto(const proto::ParameterVersion& version) {
  return {version.incarnation(), version.number()};
}

inline proto::ParameterVersion ToProto(ParameterVersion version) {
  proto::ParameterVersion message;
  message.set_incarnation(version.incarnation);
  message.set_number(version.number);
  return message;
}

}  // namespace pompc

#endif  // POMPC_PROTO_PARAMETER_VERSION_H_
