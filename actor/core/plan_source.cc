#include "actor/core/plan_source.h"

#include "common/base/check.h"
#include "common/rpc/message_size.h"

namespace pompc::actor {

PlanAsker::PlanAsker(PlanSource* source, PlanListener* listener)
    : source_(source), listener_(listener) {
  queries_.reserve(PlanSource::kMaxQueries);
}

// A request has one mode, and a bounded size: what does not fit starts the next one.
void PlanAsker::Add(const PlanQuery& query, const PlanMode& mode, absl::Duration now) {
  const size_t bytes = sizeof(float) * (query.observation.size() + query.warm_start.size());
  if (mode != mode_ || bytes_ + bytes > rpc::kFullRequestBytes) Send();
  if (queries_.empty()) {
    mode_ = mode;
    since_ = now;
  }
  bytes_ += bytes;
  POMPC_CHECK_LT(queries_.size(), static_cast<size_t>(PlanSource::kMaxQueries));
  queries_.push_back(query);
  if (queries_.size() == PlanSource::kMaxQueries || now - since_ >= kGather) Send();
}

void PlanAsker::Send() {
  if (queries_.empty()) return;
  source_->Request(queries_, mode_, listener_);
  queries_.clear();
  bytes_ = 0;
}

}  // namespace pompc::actor
