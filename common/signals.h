#ifndef POMPC_COMMON_SIGNALS_H_
#define POMPC_COMMON_SIGNALS_H_

#include <functional>

#include "common/thread.h"

namespace pompc {

// Blocks SIGINT and SIGTERM in the calling thread and in all it will start, and ignores SIGPIPE.
// The first thing a main does, before any thread exists.
void BlockSignals();

// Turns SIGINT and SIGTERM into one call and, on the second, the end of the process. At most one
// exists at a time. REQUIRES: BlockSignals() was called.
class SignalHandler {
 public:
  // Starts the thread that waits for signals. On the first one it calls `on_first` with its number;
  // that may block while the process drains. The second one ends the process at once, with status
  // 128 + its number, whatever `on_first` does.
  explicit SignalHandler(std::function<void(int signal)> on_first);
  // Waits for `on_first` if it is running. Signals stay handled as before only by a new handler:
  // without one they end the process.
  ~SignalHandler();

 private:
  int wake_fd_;
  Thread thread_;
};

}  // namespace pompc

#endif  // POMPC_COMMON_SIGNALS_H_
