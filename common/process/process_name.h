#ifndef POMPC_COMMON_PROCESS_PROCESS_NAME_H_
#define POMPC_COMMON_PROCESS_PROCESS_NAME_H_

#include <string>

namespace pompc {

// "host:pid": what a process calls itself where others list it.
std::string ProcessName();

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_PROCESS_NAME_H_
