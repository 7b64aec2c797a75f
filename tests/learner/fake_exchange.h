#ifndef POMPC_TESTS_LEARNER_FAKE_EXCHANGE_H_
#define POMPC_TESTS_LEARNER_FAKE_EXCHANGE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/threads.h"

namespace pompc::learner {

// The place where engines that are threads of one process exchange numbers. Thread-safe.
class FakeExchange {
 public:
  explicit FakeExchange(int size) : given_(size) {}

  // Waits for the numbers of all. UNAVAILABLE once one of them has left.
  absl::StatusOr<std::vector<int64_t>> Give(int rank, int64_t own) {
    MutexLock lock(&mu_);
    given_[rank] = own;
    const int64_t round = rounds_;
    if (++arrived_ == static_cast<int>(given_.size())) {
      arrived_ = 0;
      ++rounds_;
      told_ = given_;
      changed_.SignalAll();
    }
    Clock* const clock = Clock::Real();
    const absl::Duration deadline = clock->Now() + absl::Seconds(20);
    while (rounds_ == round && !left_ && clock->WaitUntil(&changed_, &mu_, deadline)) {
    }
    if (rounds_ == round) return absl::UnavailableError("another rank is gone or too late");
    return told_;
  }

  // One of them is no more.
  void Leave() {
    MutexLock lock(&mu_);
    left_ = true;
    changed_.SignalAll();
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<int64_t> given_ ABSL_GUARDED_BY(mu_);
  std::vector<int64_t> told_ ABSL_GUARDED_BY(mu_);
  int arrived_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t rounds_ ABSL_GUARDED_BY(mu_) = 0;
  bool left_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pompc::learner

#endif  // POMPC_TESTS_LEARNER_FAKE_EXCHANGE_H_
