#include "learner/status/time_series.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/check.h"

namespace pompc::learner {
namespace {

// Takes `next` into `bin`.
void Merge(const EpisodeBin& next, EpisodeBin* bin) {
  const double episodes = static_cast<double>(bin->episodes + next.episodes);
  bin->return_mean += (next.return_mean - bin->return_mean) * next.episodes / episodes;
  bin->episodes += next.episodes;
  bin->rows = next.rows;
  bin->seconds = next.seconds;
}

}  // namespace

CounterHistory::CounterHistory(size_t max_points, Overflow overflow)
    : max_points_(max_points), overflow_(overflow) {
  POMPC_CHECK_GE(max_points, 4u);
}

void CounterHistory::Add(CounterPoint point) {
  if (newest_.has_value()) POMPC_CHECK_EQ(point.totals.size(), newest_->totals.size());
  newest_ = std::move(point);
  if (added_++ % stride_ != 0) return;
  points_.push_back(*newest_);
  // Points() may add the newest point to those that are kept.
  if (points_.size() < max_points_) return;
  if (overflow_ == Overflow::kDropOldest) {
    points_.pop_front();
    return;
  }
  std::deque<CounterPoint> kept;
  for (size_t i = 0; i < points_.size(); i += 2) kept.push_back(std::move(points_[i]));
  points_ = std::move(kept);
  stride_ *= 2;
}

std::vector<CounterPoint> CounterHistory::Points() const {
  std::vector<CounterPoint> points(points_.begin(), points_.end());
  if (newest_.has_value() && (points.empty() || points.back().seconds < newest_->seconds)) {
    points.push_back(*newest_);
  }
  return points;
}

EpisodeHistory::EpisodeHistory(size_t max_bins) : max_bins_(max_bins) {
  POMPC_CHECK_GE(max_bins, 2u);
}

void EpisodeHistory::Add(double rows, double seconds, double episode_return) {
  if (!std::isfinite(episode_return)) return;
  const EpisodeBin episode = {rows, seconds, episode_return, 1};
  if (!bins_.empty() && bins_.back().episodes < episodes_per_bin_) {
    Merge(episode, &bins_.back());
    return;
  }
  if (bins_.size() == max_bins_) {
    std::vector<EpisodeBin> merged;
    for (size_t i = 0; i < bins_.size(); ++i) {
      if (i % 2 == 0) {
        merged.push_back(bins_[i]);
      } else {
        Merge(bins_[i], &merged.back());
      }
    }
    bins_ = std::move(merged);
    episodes_per_bin_ *= 2;
  }
  // With an odd number of bins the last one may have room again.
  if (!bins_.empty() && bins_.back().episodes < episodes_per_bin_) {
    Merge(episode, &bins_.back());
  } else {
    bins_.push_back(episode);
  }
}

std::vector<size_t> ThinnedPositions(size_t count, size_t most, std::optional<size_t> keep) {
  POMPC_CHECK_GE(most, 3u);
  if (keep.has_value()) POMPC_CHECK_LT(*keep, count);
  std::vector<size_t> positions;
  if (count <= most) {
    for (size_t i = 0; i < count; ++i) positions.push_back(i);
    return positions;
  }
  // One place is left for `keep`.
  const size_t even = most - 1;
  for (size_t i = 0; i < even; ++i) positions.push_back(i * (count - 1) / (even - 1));
  if (keep.has_value()) {
    const auto at = std::lower_bound(positions.begin(), positions.end(), *keep);
    if (at == positions.end() || *at != *keep) positions.insert(at, *keep);
  }
  return positions;
}

}  // namespace pompc::learner
