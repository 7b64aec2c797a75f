#include "common/base/threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/check.h"

namespace pompc {

class RealClock : public Clock {
 public:
  absl::Duration Now() const override {
    return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }

  bool WaitUntil(CondVar* cv, Mutex* mu, absl::Duration deadline) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    if (deadline == absl::InfiniteDuration()) {
      cv->Wait(mu);
      return true;
    }
    const auto at = std::chrono::steady_clock::time_point(
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(
            absl::ToChronoNanoseconds(deadline)));
    return cv->WaitUntil(mu, at);
  }
};

// Never destroyed: threads may still wait while the process exits.
Clock* Clock::Real() {
  static RealClock* clock = new RealClock;
  return clock;
}

absl::Time WallTime() { return absl::Now(); }

absl::Duration FakeClock::Now() const {
  MutexLock lock(&mu_);
  return now_;
}

bool FakeClock::WaitUntil(CondVar* cv, Mutex* mu, absl::Duration deadline) {
  Waiter self{cv, mu, deadline};
  {
    MutexLock lock(&mu_);
    if (now_ >= deadline) return false;
    waiters_.push_back(&self);
    ++waits_;
    changed_.SignalAll();
  }
  // The waiter is registered before it waits, but holds *mu in between. Advance() takes *mu before
  // it signals, so its wake-up cannot come between the two and be lost.
  cv->Wait(mu);
  {
    MutexLock lock(&mu_);
    std::erase(waiters_, &self);
    if (!self.pinned) return now_ < deadline;
  }
  // Somebody else signalled while Advance() is about to signal as well, for which it needs *mu: let
  // it have it, and return only when it is done with this waiter.
  mu->Unlock();
  {
    MutexLock lock(&mu_);
    while (self.pinned) changed_.Wait(&mu_);
  }
  mu->Lock();
  return Now() < deadline;
}

// All waiters that are due leave the list under one lock, so that a test which asks right
// afterwards does not count them as waiting. They are signalled without that lock, because a waiter
// takes it while it holds its own.
void FakeClock::Advance(absl::Duration by) {
  POMPC_CHECK_GE(by, absl::ZeroDuration(), "time does not go back");
  std::vector<Waiter*> due;
  {
    MutexLock lock(&mu_);
    now_ += by;
    for (Waiter* waiter : waiters_) {
      if (waiter->deadline > now_) continue;
      waiter->pinned = true;
      due.push_back(waiter);
    }
    std::erase_if(waiters_, [](const Waiter* waiter) { return waiter->pinned; });
  }
  for (Waiter* waiter : due) {
    waiter->mu->Lock();
    waiter->cv->SignalAll();
    waiter->mu->Unlock();
    MutexLock lock(&mu_);
    waiter->pinned = false;
    changed_.SignalAll();
  }
}

void FakeClock::AwaitWaiters(int n) {
  MutexLock lock(&mu_);
  while (static_cast<int>(waiters_.size()) < n) changed_.Wait(&mu_);
}

int64_t FakeClock::waits() const {
  MutexLock lock(&mu_);
  return waits_;
}

void FakeClock::AwaitWaits(int64_t total) {
  MutexLock lock(&mu_);
  while (waits_ < total) changed_.Wait(&mu_);
}

Thread::Thread(std::string name, std::function<void()> body)
    : thread_([name = std::move(name), body = std::move(body)] {
        pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
        body();
      }) {}

Thread& Thread::operator=(Thread&& other) {
  Join();
  thread_ = std::move(other.thread_);
  return *this;
}

Thread::~Thread() { Join(); }

void Thread::Join() {
  if (thread_.joinable()) thread_.join();
}

int UsableCores() {
  cpu_set_t allowed;
  // The call fails on a machine that has more processors than fit into the set.
  int cores = sched_getaffinity(0, sizeof(allowed), &allowed) == 0
                  ? CPU_COUNT(&allowed)
                  : static_cast<int>(std::thread::hardware_concurrency());
  // A container's quota and period of CPU time in microseconds: "200000 100000" means two cores,
  // "max 100000" all. Without this a container of two cores on a machine of 64 would start 64
  // threads.
  double quota = 0, period = 0;
  if (std::ifstream("/sys/fs/cgroup/cpu.max") >> quota >> period && period > 0) {
    cores = std::min(cores, static_cast<int>(std::ceil(quota / period)));
  }
  return std::max(1, cores);
}

}  // namespace pompc
