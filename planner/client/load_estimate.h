#ifndef POMPC_PLANNER_CLIENT_LOAD_ESTIMATE_H_
#define POMPC_PLANNER_CLIENT_LOAD_ESTIMATE_H_

#include <cstddef>
#include <optional>
#include <set>

#include "absl/time/time.h"

namespace pompc::planner {

// What an answer says about the planner that gave it.
struct Answer {
  // From the request to the answer.
  absl::Duration latency;
  // The part of it that the request waited in the planner's queue.
  absl::Duration queue;
  // What one more query in a batch costs there: the batch's time over the queries in it.
  absl::Duration per_query;
};

// What one client knows about the load of one planner: the latencies that it measured there, and
// what it has in flight there. Not thread-safe, no clock.
class LoadEstimate {
 public:
  // A request of so many queries was sent at `now`; the one that was sent at `sent_at` no longer
  // waits for its answer.
  void Sent(size_t queries, absl::Duration now);
  // REQUIRES: what ends was sent.
  void Ended(size_t queries, absl::Duration sent_at);

  // A request was answered at `now`.
  void Answered(const Answer& answer, absl::Duration now);
  // A request has waited for so long without an answer.
  void Waited(absl::Duration elapsed, absl::Duration now);
  // Nothing is measured.
  void Forget() { is_measured_ = false; }

  // The mean of the latest latencies, the later ones counting more; nothing before the first.
  std::optional<absl::Duration> measured() const;

  // The time that one more request would wait for its answer, at least a microsecond. A measurement
  // says less the older it is. Of the time in the queue half is forgotten in that same time, as a
  // queue that is left alone is gone after it. Of the rest, its distance to `best` is halved with
  // each `half_life`; that is what the best planner is measured to need, and is taken where nothing
  // is measured. More queries in flight than while it was measured add their cost, and fewer take
  // it off.
  absl::Duration Expected(absl::Duration best, absl::Duration half_life, absl::Duration now) const;

 private:
  // Means over the latest answers; they count from the first on.
  bool is_measured_ = false;
  // The time in the queue, and the rest of the latency.
  absl::Duration queue_;
  absl::Duration service_;
  absl::Duration per_query_;
  // This client's queries in flight.
  double usual_in_flight_ = 0;
  // When it was last measured.
  absl::Duration measured_at_;

  size_t in_flight_ = 0;
  // When the requests in flight were sent.
  std::multiset<absl::Duration> sent_at_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CLIENT_LOAD_ESTIMATE_H_
