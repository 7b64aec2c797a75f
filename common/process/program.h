#ifndef POMPC_COMMON_PROCESS_PROGRAM_H_
#define POMPC_COMMON_PROCESS_PROGRAM_H_

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace pompc {

// Returns the version of this build, "0.1.0".
const char* Version();

// Returns "host:pid", the name of this process where others list it.
std::string ProcessName();

// Runs `body`, which does everything that a program's main does, and returns its exit status.
// Before that it turns the system's limits into ordinary errors: standard descriptors that are
// closed are occupied, so that no file of ours gets their numbers, and writing beyond the largest
// allowed file (ulimit -f) fails instead of ending the process. When the system refuses memory or a
// thread, anywhere in the process, the program ends with one line on standard error, "NAME: why",
// and status 1. To be called once, first in main.
int RunProgram(const std::string& name, const std::function<int()>& body);

// Returns RESOURCE_EXHAUSTED naming the limits unless `count` more threads can be started now. It
// is for libraries that hang or abort when a thread is refused.
absl::Status CheckThreads(int count);

// Flushes std::cout. Fails with the reason if not all of the output was written, for instance
// because the disk is full or standard output is closed.
absl::Status FlushStandardOutput();

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_PROGRAM_H_
