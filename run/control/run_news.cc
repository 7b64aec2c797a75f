#include "run/control/run_news.h"

#include <iterator>
#include <numeric>
#include <utility>

namespace pompc::run {
namespace {

template <typename T>
std::vector<T> TakeAll(std::deque<T>& news) {
  std::vector<T> taken(std::make_move_iterator(news.begin()), std::make_move_iterator(news.end()));
  news.clear();
  return taken;
}

}  // namespace

// Whoever takes the news may be slow, or be waiting for a disk that is full: then the oldest go,
// and heartbeats do not wait.
void RunNews::Add(EvaluationNews news) {
  evaluations_.push_back(std::move(news));
  if (evaluations_.size() > kMaxNews) evaluations_.pop_front();
}

void RunNews::Add(const EpisodeNews& news) {
  newest_returns_.push_back(news.episode_return);
  if (newest_returns_.size() > kNewestReturns) newest_returns_.pop_front();
  episodes_.push_back(news);
  if (episodes_.size() > kMaxNews) episodes_.pop_front();
}

std::vector<EvaluationNews> RunNews::TakeEvaluations() { return TakeAll(evaluations_); }

std::vector<EpisodeNews> RunNews::TakeEpisodes() { return TakeAll(episodes_); }

std::optional<double> RunNews::training_return_mean() const {
  if (newest_returns_.empty()) return std::nullopt;
  return std::accumulate(newest_returns_.begin(), newest_returns_.end(), 0.0) /
         static_cast<double>(newest_returns_.size());
}

}  // namespace pompc::run
