#include "planner/core/parameter_store.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace pompc::planner {

void ParameterStore::Put(std::shared_ptr<const PlannerModel> model, absl::Duration keep) {
  POMPC_CHECK(model != nullptr);
  const absl::Duration now = clock_->Now();
  // What is dropped is destroyed after the lock is released, in reverse order of declaration: it
  // may be gigabytes, and whoever wants to plan would wait.
  std::vector<std::shared_ptr<const PlannerModel>> dropped;
  MutexLock lock(&mu_);
  if (keep > absl::ZeroDuration()) {
    const auto it = std::lower_bound(
        kept_.begin(), kept_.end(), model->version(),
        [](const Kept& kept, ParameterVersion version) { return kept.model->version() < version; });
    if (it != kept_.end() && it->model->version() == model->version()) {
      it->until = std::max(it->until, now + keep);
    } else {
      kept_.insert(it, Kept{model, now + keep});
    }
  }
  // Nobody waits for the time of a version to pass, so expired ones go when the next version comes.
  const auto expired = std::stable_partition(kept_.begin(), kept_.end(),
                                             [&](const Kept& kept) { return kept.until > now; });
  for (auto it = expired; it != kept_.end(); ++it) dropped.push_back(std::move(it->model));
  kept_.erase(expired, kept_.end());
  while (kept_.size() > max_kept_) {
    dropped.push_back(std::move(kept_.front().model));
    kept_.erase(kept_.begin());
  }
  if (newest_ == nullptr || newest_->version() < model->version()) {
    dropped.push_back(std::exchange(newest_, std::move(model)));
  }
  CheckInvariants();
}

void ParameterStore::CheckInvariants() const {
  POMPC_CHECK_LE(kept_.size(), max_kept_);
  for (size_t i = 1; i < kept_.size(); ++i) {
    POMPC_CHECK_LT(kept_[i - 1].model->version(), kept_[i].model->version());
  }
  POMPC_CHECK(kept_.empty() || kept_.back().model->version() <= newest_->version());
}

std::shared_ptr<const PlannerModel> ParameterStore::Newest() const {
  MutexLock lock(&mu_);
  return newest_;
}

std::shared_ptr<const PlannerModel> ParameterStore::Find(ParameterVersion version) const {
  const absl::Duration now = clock_->Now();
  MutexLock lock(&mu_);
  if (newest_ != nullptr && newest_->version() == version) return newest_;
  for (const Kept& kept : kept_) {
    if (kept.model->version() == version && kept.until > now) return kept.model;
  }
  return nullptr;
}

std::vector<ParameterVersion> ParameterStore::KeptVersions() const {
  const absl::Duration now = clock_->Now();
  MutexLock lock(&mu_);
  std::vector<ParameterVersion> versions;
  for (const Kept& kept : kept_) {
    if (kept.until > now) versions.push_back(kept.model->version());
  }
  return versions;
}

}  // namespace pompc::planner
