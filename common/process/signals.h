#ifndef POMPC_COMMON_PROCESS_SIGNALS_H_
#define POMPC_COMMON_PROCESS_SIGNALS_H_

#include <functional>
#include <string>

#include "common/base/threads.h"

namespace pompc {

// Blocks the signals that end a process, in the calling thread and all threads that it will start,
// and ignores SIGPIPE. The signals are SIGINT, SIGTERM and the notices SIGHUP (the terminal is
// gone), SIGXCPU (the limit of CPU time is reached), SIGUSR1 and SIGUSR2 (a batch system will soon
// end the process). A notice that is ignored stays ignored: that is how nohup keeps a process
// alive. A main calls this first, before any thread exists.
void BlockSignals();

// Returns a signal's meaning in words: "told to end by SIGTERM", "CPU time limit (ulimit -t)
// reached".
std::string StopReason(int signal);

// Turns the first of these signals into one call, and a SIGINT or SIGTERM after it into the end of
// the process. REQUIRES: BlockSignals() was called, and no other SignalHandler exists.
class SignalHandler {
 public:
  // Starts the thread that waits for signals. On the first one it calls `on_first` with the
  // signal's number; the call may block while the process drains. A SIGINT or SIGTERM after that
  // ends the process at once, with status 128 + its number, whatever `on_first` does. A further
  // notice is ignored: a terminal that closes sends SIGHUP twice, through its shell and to its
  // foreground processes, and the kernel repeats SIGXCPU every second. Ending then would lose the
  // last checkpoint. The same holds for the first signal once more within 100 ms: timeout(1) sends
  // it to the process and to its group.
  explicit SignalHandler(std::function<void(int signal)> on_first);
  // Waits for `on_first` if it is running. Afterwards the signals end the process, unless there is
  // a new handler.
  ~SignalHandler();

 private:
  int wake_fd_;
  Thread thread_;
};

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_SIGNALS_H_
