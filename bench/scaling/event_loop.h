#ifndef POMPC_BENCH_SCALING_EVENT_LOOP_H_
#define POMPC_BENCH_SCALING_EVENT_LOOP_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/base/threads.h"

namespace pompc::bench {

// Virtual time, and what is to happen at which of its moments. Nothing waits: whoever waits on this
// clock is told at once that the time is up. Not thread-safe.
class EventLoop : public Clock {
 public:
  using Action = std::function<void()>;

  absl::Duration Now() const override { return now_; }
  bool WaitUntil(CondVar*, Mutex*, absl::Duration) override { return false; }

  // `action` happens `after` now; actions of one moment happen in the order in which they were
  // given. REQUIRES: `after` is not negative.
  void After(absl::Duration after, Action action) {
    POMPC_CHECK(after >= absl::ZeroDuration());
    events_.push({now_ + after, next_++, std::move(action)});
  }

  // Lets everything happen that is due before `end`.
  void RunUntil(absl::Duration end) {
    while (!events_.empty() && events_.top().at < end) {
      // The queue gives its top away only as a constant; it is removed at once.
      Event event = std::move(const_cast<Event&>(events_.top()));
      events_.pop();
      now_ = event.at;
      ++happened_;
      event.action();
    }
    now_ = end;
  }

  uint64_t happened() const { return happened_; }

 private:
  struct Event {
    absl::Duration at;
    uint64_t order;
    Action action;

    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };

  absl::Duration now_;
  uint64_t next_ = 0;
  uint64_t happened_ = 0;
  std::priority_queue<Event> events_;
};

// Threads that do jobs one after the other, first come, first served. Not thread-safe.
class Station {
 public:
  // REQUIRES: threads >= 1. `loop` outlives it.
  Station(EventLoop* loop, int threads) : loop_(loop), threads_(threads) {
    POMPC_CHECK_GE(threads, 1);
  }

  // A job that takes `time`; `done` happens at its end.
  void Do(absl::Duration time, EventLoop::Action done) {
    jobs_.emplace_back(time, std::move(done));
    Start();
  }

  // Time of its threads that went into jobs that have ended, together.
  absl::Duration worked() const { return worked_; }
  int threads() const { return threads_; }
  size_t waiting() const { return jobs_.size(); }

 private:
  void Start() {
    if (busy_ == threads_ || jobs_.empty()) return;
    ++busy_;
    auto [time, done] = std::move(jobs_.front());
    jobs_.pop_front();
    loop_->After(time, [this, time = time, done = std::move(done)] {
      worked_ += time;
      --busy_;
      done();
      Start();
    });
  }

  EventLoop* const loop_;
  const int threads_;
  int busy_ = 0;
  absl::Duration worked_;
  std::deque<std::pair<absl::Duration, EventLoop::Action>> jobs_;
};

}  // namespace pompc::bench

#endif  // POMPC_BENCH_SCALING_EVENT_LOOP_H_
