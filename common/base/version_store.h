#ifndef POMPC_COMMON_BASE_VERSION_STORE_H_
#define POMPC_COMMON_BASE_VERSION_STORE_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/values/parameter_version.h"

namespace pompc {

// The newest version of something large, and those kept for evaluations while their time lasts.
// Versions are shared: one that is dropped here lives as long as somebody uses it. Thread-safe;
// never blocks beyond a short critical section.
//
// `Versioned` has a function version() that gives a ParameterVersion, always the same.
template <typename Versioned>
class VersionStore {
 public:
  using Pointer = std::shared_ptr<const Versioned>;

  // At most `max_kept` versions are kept beside the newest; if there are more, the oldest goes,
  // whatever time it has. `clock` must outlive the store.
  VersionStore(Clock* clock, size_t max_kept) : clock_(clock), max_kept_(max_kept) {}

  // Adds a version; versions may come in any order. It becomes the newest if its number is higher
  // than that of all before, and with `keep` > 0 it can be found for that long. A version that is
  // added again is kept until the later of the two times. REQUIRES: it is not null.
  void Put(Pointer versioned, absl::Duration keep) {
    POMPC_CHECK(versioned != nullptr);
    // Declared before the lock, so that what is dropped is destroyed after the lock is released: it
    // may be gigabytes, and whoever wants a version would wait.
    std::vector<Pointer> dropped;
    const absl::Duration now = clock_->Now();
    MutexLock lock(&mu_);
    if (keep > absl::ZeroDuration()) Keep(versioned, now + keep);
    // Nobody waits for the time of a version to pass: expired ones go when the next version comes.
    const auto expired = std::stable_partition(
        kept_.begin(), kept_.end(), [now](const Held& held) { return held.until > now; });
    for (auto it = expired; it != kept_.end(); ++it) dropped.push_back(std::move(it->versioned));
    kept_.erase(expired, kept_.end());
    while (kept_.size() > max_kept_) {
      dropped.push_back(std::move(kept_.front().versioned));
      kept_.erase(kept_.begin());
    }
    if (newest_ == nullptr || newest_->version() < versioned->version()) {
      dropped.push_back(std::exchange(newest_, std::move(versioned)));
    }
    CheckInvariants();
  }

  // Null before the first version.
  Pointer Newest() const {
    MutexLock lock(&mu_);
    return newest_;
  }

  // The newest or a kept version, else null.
  Pointer Find(ParameterVersion version) const {
    const absl::Duration now = clock_->Now();
    MutexLock lock(&mu_);
    if (newest_ != nullptr && newest_->version() == version) return newest_;
    for (const Held& held : kept_) {
      if (held.versioned->version() == version && held.until > now) return held.versioned;
    }
    return nullptr;
  }

  // The versions that can be found as kept ones, oldest first; may contain the newest.
  std::vector<Pointer> Kept() const {
    const absl::Duration now = clock_->Now();
    std::vector<Pointer> found;
    MutexLock lock(&mu_);
    for (const Held& held : kept_) {
      if (held.until > now) found.push_back(held.versioned);
    }
    return found;
  }

 private:
  struct Held {
    Pointer versioned;
    absl::Duration until;
  };

  void Keep(const Pointer& versioned, absl::Duration until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const ParameterVersion version = versioned->version();
    const auto it = std::lower_bound(
        kept_.begin(), kept_.end(), version,
        [](const Held& held, ParameterVersion v) { return held.versioned->version() < v; });
    if (it != kept_.end() && it->versioned->version() == version) {
      it->until = std::max(it->until, until);
    } else {
      kept_.insert(it, Held{versioned, until});
    }
  }

  // What must hold between the fields after each change.
  void CheckInvariants() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    POMPC_CHECK_LE(kept_.size(), max_kept_);
    for (size_t i = 1; i < kept_.size(); ++i) {
      POMPC_CHECK_LT(kept_[i - 1].versioned->version(), kept_[i].versioned->version());
    }
    POMPC_CHECK(kept_.empty() || kept_.back().versioned->version() <= newest_->version());
  }

  Clock* const clock_;
  const size_t max_kept_;

  mutable Mutex mu_;
  Pointer newest_ ABSL_GUARDED_BY(mu_);
  // Sorted by version, oldest first; may contain the newest.
  std::vector<Held> kept_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_VERSION_STORE_H_
