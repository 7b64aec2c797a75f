#include "planner/client/endpoint_picker.h"

#include <algorithm>


namespace pompc::planner {

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
    : options_(options), endpoints_(options.endpoints), hedges_(options.hedge_burst) {
  POMPC_CHECK_GT(options.endpoints, 0u);
  for (Endpoint& endpoint : endpoints_) endpoint.next_silence = options.avoid_silent;
}

template <typename Usable>
std::optional<size_t> EndpointPicker::PickInTurn(const std::vector<bool>& tried, Usable usable) {
  const size_t count = endpoints_.size();
  POMPC_CHECK_EQ(tried.size(), count);
  for (size_t i = 0; i < count; ++i) {
    const size_t endpoint = (first_ + i) % count;
    if (tried[endpoint] || !usable(endpoints_[endpoint])) continue;
    if (!options_.sticky) first_ = (endpoint + 1) % count;
    return endpoint;
  }
  return std::nullopt;
}

// Who stays with one planner probes no other: there an avoided one may be used once its time is
// over.
bool EndpointPicker::MayUse(const Endpoint& endpoint, absl::Duration now) const {
  return !endpoint.avoided || (options_.sticky && endpoint.avoid_until <= now);
}

std::optional<size_t> EndpointPicker::PickHealthy(const std::vector<bool>& tried,
                                                  absl::Duration now) {
  return PickInTurn(tried, [&](const Endpoint& endpoint) { return MayUse(endpoint, now); });
}

std::optional<size_t> EndpointPicker::Pick(const std::vector<bool>& tried, absl::Duration now) {
  if (std::optional<size_t> healthy = PickHealthy(tried, now)) return healthy;
  return PickInTurn(tried, [](const Endpoint&) { return true; });
}

std::optional<size_t> EndpointPicker::PickProbe(absl::Duration now) {
  if (options_.sticky) return std::nullopt;
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    Endpoint& endpoint = endpoints_[i];
    if (!endpoint.avoided || endpoint.probing || endpoint.avoid_until > now) continue;
    endpoint.probing = true;
    return i;
  }
  return std::nullopt;
}

bool EndpointPicker::Succeeded(size_t endpoint, absl::Duration latency, absl::Duration now) {
  Endpoint& it = At(endpoint);
  const bool was_silent = it.avoided && it.silent;
  it.latencies.Add(latency);
  it.answered = now;
  it.avoided = it.silent = it.probing = false;
  it.next_silence = options_.avoid_silent;
  if (options_.sticky) first_ = endpoint;
  return was_silent;
}

void EndpointPicker::Failed(size_t endpoint, absl::Duration now) {
  Endpoint& it = At(endpoint);
  it.probing = false;
  // Its failure is news, whatever it was avoided for: it is not the hung process any more.
  it.avoided = true;
  it.silent = false;
  it.avoid_until = now + options_.avoid_failed;
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

void EndpointPicker::TimedOut(size_t endpoint, absl::Duration elapsed, absl::Duration now) {
  Endpoint& it = At(endpoint);
  it.probing = false;
  // The time of its caller may just have been short.
  if (elapsed >= Patience(endpoint)) Silence(it, now);
}

bool EndpointPicker::Outrun(size_t endpoint, absl::Duration asked, absl::Duration now) {
  Endpoint& it = At(endpoint);
  if (it.answered <= asked) return Silence(it, now);
  // It answers others: it is slow, takes at least so long, and is given more time from now on.
  it.latencies.Add(now - asked);
  return false;
}

absl::Duration EndpointPicker::Patience(size_t endpoint) {
  const absl::Duration measured = MeasuredPatience(endpoint);
  return measured > absl::ZeroDuration() ? measured : options_.unmeasured_patience;
}

absl::Duration EndpointPicker::MeasuredPatience(size_t endpoint) {
  std::optional<absl::Duration> high = At(endpoint).latencies.High();
  if (!high.has_value()) {
    for (Endpoint& other : endpoints_) {
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
