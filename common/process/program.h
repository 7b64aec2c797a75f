#ifndef POMPC_COMMON_PROCESS_PROGRAM_H_
#define POMPC_COMMON_PROCESS_PROGRAM_H_

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace pompc {

// Runs `body`, all that a program's main does, and returns its exit status. Before that it makes
// the system's limits errors like others: standard descriptors that are closed are occupied, so
// that no file of ours takes their numbers; writing beyond the largest allowed file (ulimit -f)
// fails instead of ending the process. Memory and threads that the system refuses, in any thread,
// end the program with one line on standard error, "NAME: why", and status 1. Called once, first in
// main.
int RunProgram(const std::string& name, const std::function<int()>& body);

// RESOURCE_EXHAUSTED naming the limits unless so many threads more can be started now. For
// libraries that hang or abort where they are refused some.
absl::Status CheckThreads(int count);

// Hands what was written to std::cout to the system. An error saying why if not all of it arrived:
// the disk is full, or standard output is closed.
absl::Status FlushStandardOutput();

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_PROGRAM_H_
