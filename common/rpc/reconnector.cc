#include "common/rpc/reconnector.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::rpc {

Reconnector::Reconnector(const ReconnectOptions& options)
    : options_(options), backoff_(options.backoff, options.seed) {
  POMPC_CHECK(options.max_age > absl::ZeroDuration());
  POMPC_CHECK(options.progress_timeout > absl::ZeroDuration());
}

absl::Duration Reconnector::retry_at() const {
  POMPC_CHECK(state_ == State::kClosed, "a stream is open");
  return retry_at_;
}

void Reconnector::OnOpened(absl::Duration now) {
  POMPC_CHECK(state_ == State::kClosed, "one stream at a time");
  state_ = State::kOpen;
  stuck_ = false;
  opened_at_ = progress_at_ = now;
}

void Reconnector::OnProgress(absl::Duration now) { progress_at_ = now; }

// An answer may come after the stream was given up; the server is well all the same.
void Reconnector::OnAnswer(absl::Duration now) {
  stuck_ = false;
  progress_at_ = now;
  answered_ = true;
  error_ = absl::OkStatus();
  backoff_.Reset();
}

bool Reconnector::GivesUp(absl::Duration now, const std::function<bool()>& answer_due) {
  if (state_ != State::kOpen) return false;
  if (now >= progress_at_ + options_.progress_timeout) {
    // Silence is a problem only if an answer is due. If none is, the time starts again; otherwise
    // this deadline would wake its thread again and again.
    progress_at_ = now;
    if (answer_due()) {
      state_ = State::kGivenUp;
      stuck_ = true;
      error_ = absl::UnavailableError(absl::StrCat("no progress for ",
                                                   absl::FormatDuration(options_.progress_timeout),
                                                   "; no answer came, though one is due"));
    }
  }
  if (now >= opened_at_ + options_.max_age) state_ = State::kGivenUp;
  return state_ == State::kGivenUp;
}

absl::Duration Reconnector::NextDeadline(bool answer_due) const {
  POMPC_CHECK(state_ == State::kOpen, "no stream is open");
  const absl::Duration renewal = opened_at_ + options_.max_age;
  return answer_due ? std::min(renewal, progress_at_ + options_.progress_timeout) : renewal;
}

absl::Status Reconnector::OnEnded(const absl::Status& status, absl::Duration now) {
  POMPC_CHECK(state_ != State::kClosed, "no stream was open");
  const bool given_up = state_ == State::kGivenUp;
  state_ = State::kClosed;
  retry_at_ = given_up ? now : now + backoff_.Next();
  if (given_up) return stuck_ ? error_ : absl::OkStatus();
  error_ = status.ok() ? absl::UnavailableError("the stream ended") : status;
  return error_;
}

}  // namespace pompc::rpc
