#ifndef POMPC_CLI_REPORT_PROGRESS_DISPLAY_H_
#define POMPC_CLI_REPORT_PROGRESS_DISPLAY_H_

#include <ostream>
#include <string>

#include "absl/time/time.h"
#include "common/base/threads.h"

namespace pompc::cli {

struct ProgressDisplayOptions {
  // A terminal: one line is written over and over. Otherwise a line is added now and then.
  bool terminal = false;
  // Characters in a line of the terminal.
  int width = 80;
  // Between two lines where there is no terminal.
  absl::Duration line_every = absl::Seconds(5);
  Clock* clock = Clock::Real();
};

// Options for standard output as it is.
ProgressDisplayOptions StandardOutputOptions();

// Shows how far something is. Not thread-safe.
class ProgressDisplay {
 public:
  // `out` must outlive this.
  ProgressDisplay(const ProgressDisplayOptions& options, std::ostream* out)
      : options_(options), out_(out) {}

  // The newest state, on one line.
  void Show(const std::string& line);
  // A line that stays.
  void Say(const std::string& line);
  // Ends the line that is written over, if any.
  void Finish();

 private:
  const ProgressDisplayOptions options_;
  std::ostream* const out_;
  absl::Duration shown_at_ = -absl::InfiniteDuration();
  bool open_ = false;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPORT_PROGRESS_DISPLAY_H_
