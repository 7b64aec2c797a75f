#ifndef POMPC_LEARNER_STATUS_TIME_SERIES_H_
#define POMPC_LEARNER_STATUS_TIME_SERIES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace pompc::learner {

// What counters stood at, at one time. Rates and shares follow from two of these, however far
// apart, so a history can be thinned without loss of what lies between.
struct CounterPoint {
  // Age of the run in seconds.
  double seconds = 0;
  std::vector<double> totals;
};

// What a bounded history gives up when it is full.
enum class Overflow {
  kDropOldest,  // it keeps the newest points
  kHalve,       // it keeps every second point, and from then on takes half as many
};

// The counters of a run over time. At most `max_points` points are kept, whatever the run's age.
// Not thread-safe.
class CounterHistory {
 public:
  // REQUIRES: max_points >= 4.
  CounterHistory(size_t max_points, Overflow overflow);

  // REQUIRES: as many totals as every point before.
  void Add(CounterPoint point);

  // Oldest first; the newest that was added is always the last.
  std::vector<CounterPoint> Points() const;

 private:
  const size_t max_points_;
  const Overflow overflow_;
  std::deque<CounterPoint> points_;
  // Every so many points one is kept.
  uint64_t stride_ = 1;
  uint64_t added_ = 0;
  std::optional<CounterPoint> newest_;
};

// The mean return of some training episodes that ended one after the other.
struct EpisodeBin {
  // Rows and age of the run when the last of them ended.
  double rows = 0;
  double seconds = 0;
  double return_mean = 0;
  uint64_t episodes = 0;
};

// The returns of training episodes over a run, in at most `max_bins` bins of equally many episodes
// (the last may have fewer). Not thread-safe.
class EpisodeHistory {
 public:
  // REQUIRES: max_bins >= 2.
  explicit EpisodeHistory(size_t max_bins);

  // An episode whose return is not finite is left out.
  void Add(double rows, double seconds, double episode_return);

  // Oldest first.
  const std::vector<EpisodeBin>& bins() const { return bins_; }

 private:
  const size_t max_bins_;
  // Episodes of a full bin.
  uint64_t episodes_per_bin_ = 1;
  std::vector<EpisodeBin> bins_;
};

// Returns at most `most` of the positions 0 to count - 1, evenly spread, with the first and the
// last and `keep`. REQUIRES: most >= 3, keep < count if it is given.
std::vector<size_t> ThinnedPositions(size_t count, size_t most, std::optional<size_t> keep);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_STATUS_TIME_SERIES_H_
