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
#include "common/base/clock.h"

namespace pompc {

// A program that is fed through its standard input. What it prints is dropped, but for the last
// line on its standard error, which errors quote. It does not outlive this object and never holds
// it up for longer than it was given. Used by one thread at a time.
class ChildProcess {
 public:
  // Starts the program `arguments[0]`, looked for in PATH, with these arguments and this process's
  // environment. `patience` is how long it may take to read what Write gives it, or to end.
  // NOT_FOUND if there is no such program.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& arguments, absl::Duration patience);
  // Kills it if it still runs.
  ~ChildProcess();

  // Feeds it all of `data`; blocks until it has read as much as fits. ABORTED as Finish if it ended
  // instead; DEADLINE_EXCEEDED if it read nothing for too long.
  absl::Status Write(std::span<const uint8_t> data);

  // Ends its input and waits for its end. ABORTED with its exit status or signal, and its last
  // line, unless the status is 0; DEADLINE_EXCEEDED if it took too long. Call once,
  // last.
  absl::Status Finish();

 private:
  ChildProcess(std::string name, pid_t pid, int input, int errors, absl::Duration patience);

  // Waits until something can be done: what `events` says about the input, or its words be read;
  // false after `deadline`.
  bool Await(short events, absl::Duration deadline);
  void ReadErrors();
  // Reaps it; false if it still runs at the deadline.
  bool AwaitEnd(absl::Duration deadline);
  void CloseInput();
  absl::Status Ended() const;
  absl::Status TooSlow() const;

  const std::string name_;
  const absl::Duration patience_;
  Clock* const clock_ = Clock::Real();
  // 0 once it has been reaped.
  pid_t pid_;
  // -1 once closed.
  int input_;
  int errors_;
  int wait_status_ = 0;
  // The end of what it said.
  std::string words_;
};

}  // namespace pompc

#endif  // POMPC_COMMON_IO_CHILD_PROCESS_H_
