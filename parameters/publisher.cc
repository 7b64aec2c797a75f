#include "parameters/publisher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::parameters {

void Publisher::Publish(ParameterSnapshot snapshot) {
  auto published = std::make_shared<const ParameterSnapshot>(std::move(snapshot));
  {
    MutexLock lock(&mu_);
    POMPC_CHECK(newest_ == nullptr || published->version() > newest_->version(),
                absl::StrCat("version ", published->version().ToString(), " comes too late"));
    DropExpired();
    // A version that is evaluated must outlive the ones that follow it: planners that come later,
    // or were busy, still get it.
    if (const uint32_t seconds = published->description.keep_seconds(); seconds > 0) {
      kept_.push_back({published, options_.clock->Now() + absl::Seconds(seconds)});
      if (kept_.size() > options_.max_kept) kept_.erase(kept_.begin());
    }
    newest_ = std::move(published);
    CheckInvariants();
  }
  NotifyListeners();
}

std::shared_ptr<const ParameterSnapshot> Publisher::Next(Cursor* cursor) {
  MutexLock lock(&mu_);
  DropExpired();
  if (closed_ || newest_ == nullptr) return nullptr;
  const auto give = [cursor](const std::shared_ptr<const ParameterSnapshot>& snapshot) {
    cursor->have = std::max(cursor->have, snapshot->version());
    cursor->kept_sent.insert(snapshot->version());
    return snapshot;
  };
  if (!cursor->started) {
    cursor->started = true;
    cursor->kept_sent.insert(cursor->have);
    if (newest_->version() > cursor->have) return give(newest_);
  }
  for (const Held& kept : kept_) {
    if (!cursor->kept_sent.contains(kept.snapshot->version())) return give(kept.snapshot);
  }
  if (newest_->version() > cursor->have) return give(newest_);
  // Nothing to send: a moment to forget versions that nobody will be given any more.
  std::erase_if(cursor->kept_sent, [this](ParameterVersion version) {
    mu_.AssertHeld();
    return std::none_of(kept_.begin(), kept_.end(), [version](const Held& kept) {
      return kept.snapshot->version() == version;
    });
  });
  return nullptr;
}

std::shared_ptr<const ParameterSnapshot> Publisher::Newest() const {
  MutexLock lock(&mu_);
  return newest_;
}

std::shared_ptr<const ParameterSnapshot> Publisher::Find(ParameterVersion version) const {
  MutexLock lock(&mu_);
  if (newest_ != nullptr && newest_->version() == version) return newest_;
  for (const Held& kept : kept_) {
    if (kept.snapshot->version() == version && kept.keep_until > options_.clock->Now()) {
      return kept.snapshot;
    }
  }
  return nullptr;
}

void Publisher::AddListener(std::weak_ptr<Listener> listener) {
  MutexLock lock(&mu_);
  std::erase_if(listeners_, [](const std::weak_ptr<Listener>& l) { return l.expired(); });
  listeners_.push_back(std::move(listener));
}

void Publisher::Close() {
  {
    MutexLock lock(&mu_);
    closed_ = true;
  }
  NotifyListeners();
}

bool Publisher::closed() const {
  MutexLock lock(&mu_);
  return closed_;
}

void Publisher::DropExpired() {
  const absl::Duration now = options_.clock->Now();
  std::erase_if(kept_, [now](const Held& kept) { return kept.keep_until <= now; });
}

void Publisher::CheckInvariants() const {
  POMPC_CHECK_LE(kept_.size(), options_.max_kept);
  for (size_t i = 1; i < kept_.size(); ++i) {
    POMPC_CHECK_LT(kept_[i - 1].snapshot->version(), kept_[i].snapshot->version());
  }
  POMPC_CHECK(kept_.empty() || kept_.back().snapshot->version() <= newest_->version());
}

void Publisher::NotifyListeners() {
  std::vector<std::shared_ptr<Listener>> listeners;
  {
    MutexLock lock(&mu_);
    for (const std::weak_ptr<Listener>& listener : listeners_) {
      if (auto alive = listener.lock()) listeners.push_back(std::move(alive));
    }
  }
  for (const std::shared_ptr<Listener>& listener : listeners) listener->OnPublished();
}

}  // namespace pompc::parameters
