#include "actor/plan_asker.h"

namespace pompc::actor {

PlanAsker::PlanAsker(PlanSource* source, PlanListener* listener)
    : source_(source), listener_(listener) {
  queries_.reserve(PlanSource::kMaxQueries);
}

void PlanAsker::Add(const PlanQuery& query, const PlanMode& mode, absl::Duration now) {
  if (mode != mode_) Send();
  if (queries_.empty()) {
    mode_ = mode;
    since_ = now;
  }
  queries_.push_back(query);
  if (queries_.size() == PlanSource::kMaxQueries || now - since_ >= kGather) Send();
}

void PlanAsker::Send() {
  if (queries_.empty()) return;
  source_->Request(queries_, mode_, listener_);
  queries_.clear();
}

}  // namespace pompc::actor
