#ifndef POMPC_COMMON_RPC_RECONNECTOR_H_
#define POMPC_COMMON_RPC_RECONNECTOR_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"

namespace pompc::rpc {

struct ReconnectOptions {
  // Pauses between attempts, and the seed of their jitter.
  BackoffOptions backoff;
  uint64_t seed = 0;
  // A stream is renewed at this age, whatever its state.
  absl::Duration max_age = absl::InfiniteDuration();
  // A stream on which an answer is due and nothing happens for so long is opened anew.
  absl::Duration progress_timeout = absl::InfiniteDuration();
};

// Decides when a stream that a client keeps open for as long as it lives is given up, and when the
// next one is opened: at once after one that was given up here, since that is no failure or took
// its time; after a pause that grows from one failure to the next otherwise. Pure steps: it knows
// neither gRPC nor threads, and time only as an argument. Not thread-safe.
class Reconnector {
 public:
  enum class State {
    kClosed,  // no stream is open
    kOpen,
    kGivenUp,  // the stream was given up here and has not ended yet
  };

  explicit Reconnector(const ReconnectOptions& options);

  State state() const { return state_; }
  // When the next stream may be opened. REQUIRES: state() is kClosed.
  absl::Duration retry_at() const;

  // A stream was begun. REQUIRES: state() is kClosed.
  void OnOpened(absl::Duration now);
  // Something was sent: from now on an answer may be awaited.
  void OnProgress(absl::Duration now);
  // The server has answered, so nothing is wrong, and pauses begin with the shortest again.
  void OnAnswer(absl::Duration now);

  // True, once, if the stream is to be cancelled: it is too old, or stuck, which error() then says.
  // `answer_due` is asked only after a silence of progress_timeout; if it says no, the silence
  // counts from now on.
  bool GivesUp(absl::Duration now, const std::function<bool()>& answer_due);
  // When GivesUp may have something else to say, if nothing happens. Silence counts only if
  // `answer_due`. REQUIRES: state() is kOpen.
  absl::Duration NextDeadline(bool answer_due) const;

  // The stream has ended with `status`, OK included. Returns why, not OK unless it was renewed: the
  // status, UNAVAILABLE if the server ended it in order, or that it was stuck.
  absl::Status OnEnded(const absl::Status& status, absl::Duration now);

  // Why there is no answer: how the last stream failed, until a server answers. Renewals leave it
  // as it is.
  const absl::Status& error() const { return error_; }
  // True once a server has ever answered.
  bool answered() const { return answered_; }

 private:
  const ReconnectOptions options_;
  Backoff backoff_;
  State state_ = State::kClosed;
  absl::Duration retry_at_ = -absl::InfiniteDuration();
  absl::Duration opened_at_;
  // When something was last sent or received.
  absl::Duration progress_at_;
  // The stream was given up because it was stuck, as error_ says.
  bool stuck_ = false;
  absl::Status error_;
  bool answered_ = false;
};

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_RECONNECTOR_H_
