#ifndef POMPC_COMMON_IO_CHILD_PROCESS_H_
#define POMPC_COMMON_IO_CHILD_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/threads.h"
#include "common/io/descriptors.h"

namespace pompc {

// A program that reads its standard input from this process. Its output is dropped, except for the
// last line on its standard error, which errors quote. The program does not outlive this object,
// and never blocks it for longer than its patience. Used by one thread at a time.
class ChildProcess {
 public:
  // Starts the program `arguments[0]`, which is searched for in PATH, with these arguments and this
  // process's environment. `patience` is how long it may take to read something of what Write gives
  // it, or to end. Fails with NOT_FOUND if there is no such program. REQUIRES: `arguments` is not
  // empty.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& arguments, absl::Duration patience);
  // Kills the program if it still runs.
  ~ChildProcess();

  // Sends all of `data`, and blocks until the system holds what the program has not read yet. Fails
  // with ABORTED as Finish does if the program has ended, and with DEADLINE_EXCEEDED if it read
  // nothing for too long.
  absl::Status Write(std::span<const uint8_t> data);

  // Ends the program's input and waits until it ends. Fails with ABORTED, its exit status or signal
  // and its last line unless the status is 0, and with DEADLINE_EXCEEDED if it took too long.
  // Nothing may be called after it.
  absl::Status Finish();

 private:
  ChildProcess(std::string name, pid_t pid, Descriptor input, Descriptor errors,
               absl::Duration patience);

  // Waits until what `events` says can be done with the input, or until there are words to read,
  // and reads those. Returns false after `deadline`.
  bool Await(short events, absl::Duration deadline);
  void ReadErrors();
  // Reaps the process. Returns false if it still runs at the deadline.
  bool AwaitEnd(absl::Duration deadline);
  absl::Status Ended() const;
  absl::Status TooSlow() const;

  const std::string name_;
  const absl::Duration patience_;
  Clock* const clock_ = Clock::Real();
  // 0 once the process was reaped.
  pid_t pid_;
  // Its standard input and error.
  Descriptor input_;
  Descriptor errors_;
  int wait_status_ = 0;
  // The end of what it wrote to its standard error.
  std::string words_;
};

}  // namespace pompc

#endif  // POMPC_COMMON_IO_CHILD_PROCESS_H_
