#include "parameters/publisher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::parameters {

void Publisher::Publish(ParameterSnapshot snapshot) {
  auto published = std::make_shared<const ParameterSnapshot>(std::move(snapshot));
  {
    MutexLock lock(&publishing_);
    const std::shared_ptr<const ParameterSnapshot> before = store_.Newest();
    POMPC_CHECK(before == nullptr || published->version() > before->version(),
                absl::StrCat("version ", published->version().ToString(), " comes too late"));
    // A version that is evaluated must outlive the ones that follow it: planners that come later,
    // or were busy, still get it.
    const absl::Duration keep = absl::Seconds(published->description.keep_seconds());
    store_.Put(std::move(published), keep);
  }
  NotifyListeners();
}

std::shared_ptr<const ParameterSnapshot> Publisher::Next(Cursor* cursor) {
  const std::shared_ptr<const ParameterSnapshot> newest = store_.Newest();
  if (closed() || newest == nullptr) return nullptr;
  const auto give = [cursor](const std::shared_ptr<const ParameterSnapshot>& snapshot) {
    cursor->have = std::max(cursor->have, snapshot->version());
    cursor->kept_sent.insert(snapshot->version());
    return snapshot;
  };
  // A subscriber that connects wants the newest first, to plan with it; versions for evaluations
  // can follow. One that connects again has said which version it holds, and is not sent that
  // again.
  if (!cursor->started) {
    cursor->started = true;
    cursor->kept_sent.insert(cursor->have);
    if (newest->version() > cursor->have) return give(newest);
  }
  // Later, kept versions go first: the newest is replaced often, and evaluations would wait for
  // ever.
  const std::vector<std::shared_ptr<const ParameterSnapshot>> all_kept = store_.Kept();
  for (const auto& kept : all_kept) {
    if (!cursor->kept_sent.contains(kept->version())) return give(kept);
  }
  if (newest->version() > cursor->have) return give(newest);
  // Nothing to send: a moment to forget versions that nobody will be given any more.
  std::erase_if(cursor->kept_sent, [&all_kept](ParameterVersion version) {
    return std::none_of(all_kept.begin(), all_kept.end(),
                        [version](const auto& kept) { return kept->version() == version; });
  });
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

// Listeners are called without the lock, since they call Next. One that ends meanwhile lives until
// its call has returned.
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
