#ifndef POMPC_PLANNER_CLIENT_ENDPOINT_PICKER_H_
#define POMPC_PLANNER_CLIENT_ENDPOINT_PICKER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "absl/time/time.h"
#include "planner/client/load_estimate.h"

namespace pompc::planner {

struct EndpointPickerOptions {
  // Stay with the planner that answered last.
  bool sticky = false;
  // A planner that is expected to answer in half the time of another is asked 2 ^ preference times
  // as often. The greater it is, the less is left to chance; where it is too great, all clients run
  // to the planner that was the fastest a moment ago.
  double preference = 3;
  // The age at which half of what was measured of a planner's load is forgotten.
  absl::Duration half_life = absl::Seconds(5);
  // The time for which a planner that could not be reached is avoided.
  absl::Duration avoid_failed = absl::Seconds(2);
  // The time for which one that did not answer in time is avoided: doubled each time, up to the
  // maximum.
  absl::Duration avoid_silent = absl::Seconds(1);
  absl::Duration max_avoid_silent = absl::Seconds(16);
  // The longest time for which a planner that says that it is full is left alone.
  absl::Duration max_full = absl::Seconds(5);
  // Patience with a planner: the 95th percentile of its latest latencies times the factor, but not
  // less than the least, which hides the hiccups of a busy machine. While nothing is measured:
  double patience_factor = 3;
  absl::Duration least_patience = absl::Milliseconds(250);
  absl::Duration unmeasured_patience = absl::Seconds(10);
  // Queries hedged, as a share of all, beyond a first `hedge_burst`.
  double hedge_share = 0.1;
  double hedge_burst = 64;
  // The seed of its choices.
  uint64_t seed = 1;
};

// Decides which planner a call asks, how long one waits for its answer before a second planner is
// asked as well (a hedge), and which planners are avoided.
//
// It chooses at random, and the more often the sooner an answer is expected: planners are asked by
// their speed, none is left out, and clients that know the same do not all do the same. A planner
// is avoided from a failure, or from a silence that others did not share, until it answers
// something: after a while one request is sent to it as well (a probe), while another planner is
// asked for the same. One that says until when it is full is not asked before that.
//
// Planners come and go. What is told of one that is gone is without effect, so that requests to it
// may end as usual. Not thread-safe, no clock.
class EndpointPicker {
 public:
  // A planner. Numbers count up and are never used twice.
  using Id = uint64_t;

  explicit EndpointPicker(const EndpointPickerOptions& options);

  // A planner that may be picked from now on.
  Id Add();
  // It is not picked any more.
  void Remove(Id id);
  // Planners that may be picked.
  size_t size() const { return endpoints_.size(); }

  // One that is not in `tried`, none that is avoided or full. Those that are avoided are picked
  // where all of the others are in `tried`. Nothing when no planner is left, or those that are left
  // are full.
  std::optional<Id> Pick(const std::set<Id>& tried, absl::Duration now);
  // The same, but none that is avoided.
  std::optional<Id> PickHealthy(const std::set<Id>& tried, absl::Duration now);
  // An avoided one whose time has come, to be sent a copy of a request; none while a probe of it is
  // in flight, that is, until one of the five below is called for it. Nothing in sticky mode.
  std::optional<Id> PickProbe(absl::Duration now);
  // The probe has ended, and tells nothing about the planner: another one may be sent.
  void ProbeEnded(Id id);

  // A request of so many queries was sent to it at `now`; the one that was sent at `sent_at` no
  // longer waits. What the request came to is told after that.
  void Sent(Id id, size_t queries, absl::Duration now);
  void Ended(Id id, size_t queries, absl::Duration sent_at);

  // It answered. True if it was avoided for its silence.
  bool Succeeded(Id id, const Answer& answer, absl::Duration now);
  // It could not be reached, or refuses to serve.
  void Failed(Id id, absl::Duration now);
  // It is full and expects to have room after `wait`.
  void Full(Id id, absl::Duration wait, absl::Duration now);
  // A request that was sent `elapsed` ago got no answer. It is avoided, unless that is within what
  // may be expected of the planner.
  void TimedOut(Id id, absl::Duration elapsed, absl::Duration now);
  // A request sent at `asked` was answered by another planner, which was asked later. If this one
  // has answered nothing since, it is avoided from now on: true if it was not before.
  bool Outrun(Id id, absl::Duration asked, absl::Duration now);

  // When the first planner expects to have room. Nothing while one that is not avoided is not full.
  std::optional<absl::Duration> FullUntil(absl::Duration now) const;

  // The time that a request to the planner may take before it is hedged. One that has answered too
  // little yet is measured by the slowest of the others.
  absl::Duration Patience(Id id);
  // The same; zero while nothing is measured.
  absl::Duration MeasuredPatience(Id id);
  // Counts `queries` that were asked for: their share may be hedged.
  void Asked(size_t queries);
  // True if so many queries may be hedged now; then they are counted.
  bool TakeHedge(size_t queries);
  // The hedge cost the other planner nothing.
  void GiveBackHedge(size_t queries);

 private:
  // The newest latencies of a planner, a ring.
  class Latencies {
   public:
    void Add(absl::Duration latency);
    // The 95th percentile; nothing before there are a few.
    std::optional<absl::Duration> High();

   private:
    static constexpr size_t kFew = 4;
    static constexpr size_t kMost = 64;
    std::vector<absl::Duration> ring_;
    size_t next_ = 0;
    std::optional<absl::Duration> high_;
  };
  struct Endpoint {
    Latencies latencies;
    LoadEstimate load;
    absl::Duration answered = -absl::InfiniteDuration();
    // It failed or was silent, and has not answered since; until when it is left alone.
    bool avoided = false;
    absl::Duration avoid_until;
    // The time for which its next silence is avoided; while `silent`, it is avoided for a silence.
    absl::Duration next_silence;
    bool silent = false;
    bool probing = false;
    absl::Duration full_until = -absl::InfiniteDuration();
  };
  using Usable = std::function<bool(const Endpoint&)>;

  // Null for a planner that is gone.
  Endpoint* Find(Id id);
  // By chance, one that is not tried and for which `usable` holds.
  std::optional<Id> PickAmong(const std::set<Id>& tried, absl::Duration now, const Usable& usable);
  // The shortest latency that was measured of a planner that is not avoided.
  absl::Duration Best() const;
  bool MayUse(const Endpoint& endpoint, absl::Duration now) const;
  // True if it was not avoided.
  bool Silence(Endpoint& endpoint, absl::Duration now);

  const EndpointPickerOptions options_;
  std::map<Id, Endpoint> endpoints_;
  Id next_id_ = 1;
  // In sticky mode, the planner that is asked first.
  std::optional<Id> current_;
  // Queries that may be hedged.
  double hedges_;
  std::mt19937_64 rng_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CLIENT_ENDPOINT_PICKER_H_
