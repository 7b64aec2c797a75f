#ifndef POMPC_COMMON_PROCESS_VERSION_H_
#define POMPC_COMMON_PROCESS_VERSION_H_

namespace pompc {

// Version of this build, "0.1.0".
const char* Version();

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_VERSION_H_
