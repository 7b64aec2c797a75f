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

// For a client that always keeps one stream open: decides when the stream is given up and when the
// next one is opened. After a failure there is a pause before the next stream, longer from failure
// to failure. After a stream that was given up here there is none: a renewal is no failure, and a
// stuck stream has taken long enough. It only decides: callers make the calls and pass in the time.
// Not thread-safe.
class Reconnector {
 public:
  enum class State {
    kClosed,  // no stream is open
    kOpen,
    kGivenUp,  // the stream was given up here and has not ended yet
  };

  // REQUIRES: max_age and progress_timeout are positive.
  explicit Reconnector(const ReconnectOptions& options);

  State state() const { return state_; }
  // When the next stream may be opened. REQUIRES: state() is kClosed.
  absl::Duration retry_at() const;

  // A stream was begun. REQUIRES: state() is kClosed.
  void OnOpened(absl::Duration now);
  // Something was sent: the silence that progress_timeout bounds begins now.
  void OnProgress(absl::Duration now);
  // The server has answered, so nothing is wrong, and pauses begin with the shortest again.
  void OnAnswer(absl::Duration now);

  // True, once, if the stream is to be cancelled: it is too old, or it is stuck, and then error()
  // says so. `answer_due` is called only after a silence of progress_timeout; if it returns false,
  // the silence begins anew.
  bool GivesUp(absl::Duration now, const std::function<bool()>& answer_due);
  // When GivesUp is to be called next if nothing happens before. Without `answer_due` silence is no
  // reason to give up. REQUIRES: state() is kOpen.
  absl::Duration NextDeadline(bool answer_due) const;

  // The stream has ended with `status`, which may be OK. Returns the failure: OK if the stream was
  // given up because of its age, error() if it was stuck, UNAVAILABLE if the server ended it with
  // OK, `status` otherwise.
  absl::Status OnEnded(const absl::Status& status, absl::Duration now);

  // Returns the status of the last stream that failed; OK once a server has answered since. A
  // renewal does not change it.
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
