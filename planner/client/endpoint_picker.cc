#include "planner/client/endpoint_picker.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace pompc::planner {
namespace {

// What a planner is expected to need as long as none has been measured. Only its proportion to the
// time that requests have been waiting matters.
constexpr absl::Duration kUnmeasured = absl::Milliseconds(1);

}  // namespace

void EndpointPicker::Latencies::Add(absl::Duration latency) {
  if (ring_.size() < kMost) {
    ring_.push_back(latency);
  } else {
    ring_[next_] = latency;
    next_ = (next_ + 1) % kMost;
  }
  high_.reset();
}

std::optional<absl::Duration> EndpointPicker::Latencies::High() {
  if (ring_.size() < kFew) return std::nullopt;
  if (!high_.has_value()) {
    std::vector<absl::Duration> sorted = ring_;
    const auto at = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() * 95 / 100);
    std::nth_element(sorted.begin(), at, sorted.end());
    high_ = *at;
  }
  return high_;
}

EndpointPicker::EndpointPicker(const EndpointPickerOptions& options)
    : options_(options), hedges_(options.hedge_burst), rng_(options.seed) {}

EndpointPicker::Id EndpointPicker::Add() {
  const Id id = next_id_++;
  endpoints_[id].next_silence = options_.avoid_silent;
  return id;
}

void EndpointPicker::Remove(Id id) {
  endpoints_.erase(id);
  if (current_ == id) current_.reset();
}

EndpointPicker::Endpoint* EndpointPicker::Find(Id id) {
  const auto it = endpoints_.find(id);
  return it == endpoints_.end() ? nullptr : &it->second;
}

absl::Duration EndpointPicker::Best() const {
  absl::Duration best = absl::InfiniteDuration();
  for (const auto& [id, endpoint] : endpoints_) {
    const std::optional<absl::Duration> measured = endpoint.load.measured();
    if (!endpoint.avoided && measured.has_value()) best = std::min(best, *measured);
  }
  // A clock may not see the time that a planner of this process takes.
  return best < absl::InfiniteDuration() ? std::max(best, absl::Microseconds(1)) : kUnmeasured;
}

// Weights of a power of the expected time, not the two best of a few at random: of two planners
// that would always be the better one, and all clients would go there together.
std::optional<EndpointPicker::Id> EndpointPicker::PickAmong(const std::set<Id>& tried,
                                                            absl::Duration now,
                                                            const Usable& usable) {
  const absl::Duration best = Best();
  std::vector<std::pair<Id, double>> sums;
  double sum = 0;
  for (const auto& [id, endpoint] : endpoints_) {
    if (tried.contains(id) || !usable(endpoint)) continue;
    if (current_ == id) return id;
    const absl::Duration expected = endpoint.load.Expected(best, options_.half_life, now);
    sum += std::pow(absl::FDivDuration(best, expected), options_.preference);
    sums.emplace_back(id, sum);
  }
  if (sums.empty()) return std::nullopt;
  const double drawn = std::uniform_real_distribution<double>(0, sum)(rng_);
  for (const auto& [id, up_to] : sums) {
    if (drawn < up_to) return id;
  }
  return sums.back().first;
}

// Who stays with one planner probes no other: there an avoided one may be used once its time is
// over.
bool EndpointPicker::MayUse(const Endpoint& endpoint, absl::Duration now) const {
  return !endpoint.avoided || (options_.sticky && endpoint.avoid_until <= now);
}

std::optional<EndpointPicker::Id> EndpointPicker::PickHealthy(const std::set<Id>& tried,
                                                              absl::Duration now) {
  return PickAmong(tried, now, [&](const Endpoint& endpoint) {
    return MayUse(endpoint, now) && endpoint.full_until <= now;
  });
}

// A planner that is full answers sooner than one that may be dead.
std::optional<EndpointPicker::Id> EndpointPicker::Pick(const std::set<Id>& tried,
                                                       absl::Duration now) {
  if (std::optional<Id> healthy = PickHealthy(tried, now)) return healthy;
  if (FullUntil(now).has_value()) return std::nullopt;
  return PickAmong(tried, now, [&](const Endpoint& endpoint) { return !MayUse(endpoint, now); });
}

std::optional<EndpointPicker::Id> EndpointPicker::PickProbe(absl::Duration now) {
  if (options_.sticky) return std::nullopt;
  for (auto& [id, endpoint] : endpoints_) {
    if (!endpoint.avoided || endpoint.probing || endpoint.avoid_until > now) continue;
    endpoint.probing = true;
    return id;
  }
  return std::nullopt;
}

void EndpointPicker::ProbeEnded(Id id) {
  if (Endpoint* const it = Find(id)) it->probing = false;
}

void EndpointPicker::Sent(Id id, size_t queries, absl::Duration now) {
  if (Endpoint* const it = Find(id)) it->load.Sent(queries, now);
}

void EndpointPicker::Ended(Id id, size_t queries, absl::Duration sent_at) {
  if (Endpoint* const it = Find(id)) it->load.Ended(queries, sent_at);
}

bool EndpointPicker::Succeeded(Id id, const Answer& answer, absl::Duration now) {
  Endpoint* const it = Find(id);
  if (it == nullptr) return false;
  const bool was_silent = it->avoided && it->silent;
  it->latencies.Add(answer.latency);
  // The time that it was away says nothing about its load.
  if (it->avoided) {
    it->load.Forget();
  } else {
    it->load.Answered(answer, now);
  }
  it->answered = now;
  it->avoided = it->silent = it->probing = false;
  it->next_silence = options_.avoid_silent;
  it->full_until = -absl::InfiniteDuration();
  if (options_.sticky) current_ = id;
  return was_silent;
}

void EndpointPicker::Failed(Id id, absl::Duration now) {
  Endpoint* const it = Find(id);
  if (it == nullptr) return;
  it->probing = false;
  // Its failure is news, whatever it was avoided for: it is not the hung process any more.
  it->avoided = true;
  it->silent = false;
  it->avoid_until = now + options_.avoid_failed;
}

void EndpointPicker::Full(Id id, absl::Duration wait, absl::Duration now) {
  Endpoint* const it = Find(id);
  if (it == nullptr) return;
  // It answers, after all.
  it->avoided = it->silent = it->probing = false;
  it->full_until = now + std::min(wait, options_.max_full);
}

std::optional<absl::Duration> EndpointPicker::FullUntil(absl::Duration now) const {
  std::optional<absl::Duration> first;
  for (const auto& [id, endpoint] : endpoints_) {
    if (!MayUse(endpoint, now)) continue;
    if (endpoint.full_until <= now) return std::nullopt;
    first = std::min(first.value_or(absl::InfiniteDuration()), endpoint.full_until);
  }
  return first;
}

bool EndpointPicker::Silence(Endpoint& endpoint, absl::Duration now) {
  endpoint.probing = false;
  const bool news = !endpoint.avoided;
  // Many requests that it leaves unanswered at the same time count as one.
  if (endpoint.avoided && endpoint.avoid_until > now) return false;
  endpoint.avoided = endpoint.silent = true;
  endpoint.avoid_until = now + endpoint.next_silence;
  endpoint.next_silence = std::min(2 * endpoint.next_silence, options_.max_avoid_silent);
  return news;
}

void EndpointPicker::TimedOut(Id id, absl::Duration elapsed, absl::Duration now) {
  Endpoint* const it = Find(id);
  if (it == nullptr) return;
  it->probing = false;
  it->load.Waited(elapsed, now);
  // The time of its caller may just have been short.
  if (elapsed >= Patience(id)) Silence(*it, now);
}

bool EndpointPicker::Outrun(Id id, absl::Duration asked, absl::Duration now) {
  Endpoint* const it = Find(id);
  if (it == nullptr) return false;
  it->load.Waited(now - asked, now);
  if (it->answered <= asked) return Silence(*it, now);
  // It answers others: it is slow, takes at least so long, and is given more time from now on.
  it->latencies.Add(now - asked);
  return false;
}

absl::Duration EndpointPicker::Patience(Id id) {
  const absl::Duration measured = MeasuredPatience(id);
  return measured > absl::ZeroDuration() ? measured : options_.unmeasured_patience;
}

absl::Duration EndpointPicker::MeasuredPatience(Id id) {
  Endpoint* const it = Find(id);
  std::optional<absl::Duration> high = it == nullptr ? std::nullopt : it->latencies.High();
  if (!high.has_value()) {
    for (auto& [other_id, other] : endpoints_) {
      if (const auto measured = other.latencies.High()) {
        high = std::max(high.value_or(absl::ZeroDuration()), *measured);
      }
    }
  }
  if (!high.has_value()) return absl::ZeroDuration();
  return std::max(*high * options_.patience_factor, options_.least_patience);
}

void EndpointPicker::Asked(size_t queries) {
  hedges_ = std::min(hedges_ + static_cast<double>(queries) * options_.hedge_share,
                     options_.hedge_burst);
}

bool EndpointPicker::TakeHedge(size_t queries) {
  const auto cost = static_cast<double>(queries);
  if (hedges_ < cost) return false;
  hedges_ -= cost;
  return true;
}

void EndpointPicker::GiveBackHedge(size_t queries) {
  hedges_ = std::min(hedges_ + static_cast<double>(queries), options_.hedge_burst);
}

}  // namespace pompc::planner
