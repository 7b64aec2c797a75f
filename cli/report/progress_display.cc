#include "cli/report/progress_display.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

namespace pompc::cli {
namespace {

// To the beginning of the line, which is cleared to its end.
constexpr char kRewrite[] = "\r\x1b[K";

// The first `width` characters; bytes that continue a character in UTF-8 do not count.
std::string Cut(const std::string& text, int width) {
  size_t end = 0;
  for (int left = width; end < text.size(); ++end) {
    if ((text[end] & 0xc0) != 0x80 && left-- == 0) break;
  }
  return text.substr(0, end);
}

}  // namespace

ProgressDisplayOptions StandardOutputOptions() {
  ProgressDisplayOptions options;
  options.terminal = isatty(STDOUT_FILENO) == 1;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    options.width = size.ws_col;
  }
  return options;
}

void ProgressDisplay::Show(const std::string& line) {
  if (options_.terminal) {
    *out_ << kRewrite << Cut(line, std::max(1, options_.width - 1)) << std::flush;
    open_ = true;
    return;
  }
  // Logs of batch systems keep every line: one every few seconds will do.
  const absl::Duration now = options_.clock->Now();
  if (now - shown_at_ < options_.line_every) return;
  shown_at_ = now;
  *out_ << line << std::endl;
}

void ProgressDisplay::Say(const std::string& line) {
  if (open_) *out_ << kRewrite;
  open_ = false;
  *out_ << line << std::endl;
}

void ProgressDisplay::Finish() {
  if (open_) *out_ << std::endl;
  open_ = false;
}

}  // namespace pompc::cli
