#include "planner/client/load_estimate.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"

namespace pompc::planner {
namespace {

// The share of the newest answer in the means. More than half of a mean is of the latest three.
constexpr double kNewest = 0.25;
// The age at which the means are worth as much as the next answer.
constexpr absl::Duration kOld = absl::Seconds(1);

// What is left after `age` where half is left after `half_life`.
double Halved(absl::Duration age, absl::Duration half_life) {
  if (half_life <= absl::ZeroDuration()) return 0;
  return std::exp2(-absl::FDivDuration(age, half_life));
}

}  // namespace

void LoadEstimate::Sent(size_t queries, absl::Duration now) {
  in_flight_ += queries;
  sent_at_.insert(now);
}

void LoadEstimate::Ended(size_t queries, absl::Duration sent_at) {
  const auto it = sent_at_.find(sent_at);
  POMPC_CHECK(it != sent_at_.end() && in_flight_ >= queries, "what ends was sent");
  sent_at_.erase(it);
  in_flight_ -= queries;
}

std::optional<absl::Duration> LoadEstimate::measured() const {
  if (!is_measured_) return std::nullopt;
  return queue_ + service_;
}

void LoadEstimate::Answered(const Answer& answer, absl::Duration now) {
  const double newest = is_measured_ ? std::max(kNewest, 1 - Halved(now - measured_at_, kOld)) : 1;
  const absl::Duration queue = std::clamp(answer.queue, absl::ZeroDuration(), answer.latency);
  queue_ += newest * (queue - queue_);
  service_ += newest * (answer.latency - queue - service_);
  per_query_ += newest * (answer.per_query - per_query_);
  usual_in_flight_ += newest * (static_cast<double>(in_flight_) - usual_in_flight_);
  is_measured_ = true;
  measured_at_ = now;
}

// It may have waited anywhere; a queue is forgotten sooner.
void LoadEstimate::Waited(absl::Duration elapsed, absl::Duration now) {
  if (is_measured_ && queue_ + service_ >= elapsed) return;
  if (!is_measured_) service_ = per_query_ = absl::ZeroDuration();
  queue_ = elapsed - service_;
  is_measured_ = true;
  measured_at_ = now;
}

absl::Duration LoadEstimate::Expected(absl::Duration best, absl::Duration half_life,
                                      absl::Duration now) const {
  absl::Duration wait = best;
  // A query costs no more than a request.
  absl::Duration per_query = best;
  if (is_measured_) {
    const absl::Duration age = std::max(now - measured_at_, absl::ZeroDuration());
    wait += (service_ - best) * Halved(age, half_life) + queue_ * Halved(age, queue_);
    per_query = std::min(per_query_, service_);
  }
  const double more = static_cast<double>(in_flight_) - usual_in_flight_;
  // What is in flight is a part of what was measured, but not all of it.
  wait = std::max(wait + more * per_query, wait / 4);
  // Whoever has been waiting for longer waits in the same queue.
  if (!sent_at_.empty()) wait = std::max(wait, now - *sent_at_.begin());
  return std::max(wait, absl::Microseconds(1));
}

}  // namespace pompc::planner
