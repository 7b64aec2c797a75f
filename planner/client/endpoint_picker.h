#ifndef POMPC_PLANNER_CLIENT_ENDPOINT_PICKER_H_
#define POMPC_PLANNER_CLIENT_ENDPOINT_PICKER_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "common/base/check.h"

namespace pompc::planner {

struct EndpointPickerOptions {
  // Number of planners, at least 1.
  size_t endpoints = 1;
  // Begin with the one that succeeded last instead of taking turns.
  bool sticky = false;
  // The time for which a planner that could not be reached is avoided.
  absl::Duration avoid_failed = absl::Seconds(2);
  // The time for which one that did not answer in time is avoided: doubled each time, up to the
  // maximum.
  absl::Duration avoid_silent = absl::Seconds(1);
  absl::Duration max_avoid_silent = absl::Seconds(16);
  // Patience with a planner: the 95th percentile of its latest latencies times the factor, but not
  // less than the least, which hides the hiccups of a busy machine. While nothing is measured:
  double patience_factor = 3;
  absl::Duration least_patience = absl::Milliseconds(250);
  absl::Duration unmeasured_patience = absl::Seconds(10);
  // Queries hedged, as a share of all, beyond a first `hedge_burst`.
  double hedge_share = 0.1;
  double hedge_burst = 64;
};

// Decides which planner a call asks, how long one waits for its answer before a second planner is
// asked as well (a hedge), and which planners are avoided. A planner is avoided from a failure, or
// from a silence that others did not share, until it answers something: after a while one request
// is sent to it as well (a probe), while another planner is asked for the same. Not thread-safe, no
// clock.
class EndpointPicker {
 public:
  // REQUIRES: options.endpoints > 0. Endpoints are 0 .. options.endpoints - 1 everywhere.
  explicit EndpointPicker(const EndpointPickerOptions& options);

  // One that is not yet marked in `tried` [endpoints], preferably one that is not avoided. Nothing
  // when all are marked.
  std::optional<size_t> Pick(const std::vector<bool>& tried, absl::Duration now);
  // The same, but none that is avoided.
  std::optional<size_t> PickHealthy(const std::vector<bool>& tried, absl::Duration now);
  // An avoided one whose time has come, to be sent a copy of a request; none while a probe of it is
  // in flight, that is, until one of the five below is called for it. Nothing in sticky mode.
  std::optional<size_t> PickProbe(absl::Duration now);
  // The probe has ended, and tells nothing about the planner: another one may be sent.
  void ProbeEnded(size_t endpoint) { At(endpoint).probing = false; }

  // It answered. True if it was avoided for its silence.
  bool Succeeded(size_t endpoint, absl::Duration latency, absl::Duration now);
  // It could not be reached, or refuses to serve.
  void Failed(size_t endpoint, absl::Duration now);
  // A request that was sent `elapsed` ago got no answer. Without effect where that is within what
  // may be expected of the planner.
  void TimedOut(size_t endpoint, absl::Duration elapsed, absl::Duration now);
  // A request sent at `asked` was answered by another planner, which was asked later. If this one
  // has answered nothing since, it is avoided from now on: true if it was not before.
  bool Outrun(size_t endpoint, absl::Duration asked, absl::Duration now);

  // The time that a request to the planner may take before it is hedged. One that has answered too
  // little yet is measured by the slowest of the others.
  absl::Duration Patience(size_t endpoint);
  // The same; zero while nothing is measured.
  absl::Duration MeasuredPatience(size_t endpoint);
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
    static constexpr size_t kFew = 8;
    static constexpr size_t kMost = 64;
    std::vector<absl::Duration> ring_;
    size_t next_ = 0;
    std::optional<absl::Duration> high_;
  };
  struct Endpoint {
    Latencies latencies;
    absl::Duration answered = -absl::InfiniteDuration();
    // It failed or was silent, and has not answered since; until when it is left alone.
    bool avoided = false;
    absl::Duration avoid_until;
    // The time for which its next silence is avoided; while `silent`, it is avoided for a silence.
    absl::Duration next_silence;
    bool silent = false;
    bool probing = false;
  };

  Endpoint& At(size_t endpoint) {
    POMPC_CHECK_LT(endpoint, endpoints_.size());
    return endpoints_[endpoint];
  }
  // In turns, the first that is not tried and for which `usable` holds.
  template <typename Usable>
  std::optional<size_t> PickInTurn(const std::vector<bool>& tried, Usable usable);
  bool MayUse(const Endpoint& endpoint, absl::Duration now) const;
  // True if it was not avoided.
  bool Silence(Endpoint& endpoint, absl::Duration now);

  const EndpointPickerOptions options_;
  std::vector<Endpoint> endpoints_;
  // The planner at which the next call begins.
  size_t first_ = 0;
  // Queries that may be hedged.
  double hedges_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CLIENT_ENDPOINT_PICKER_H_
