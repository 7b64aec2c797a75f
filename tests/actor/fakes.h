#ifndef POMPC_TESTS_ACTOR_FAKES_H_
#define POMPC_TESTS_ACTOR_FAKES_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "actor/core/environment_slot.h"
#include "actor/core/plan_source.h"
#include "actor/core/row_sink.h"
#include "actor/env/environment.h"
#include "actor/env/wrappers.h"
#include "common/base/threads.h"

namespace pompc::actor {

// What a fake environment does; the observation is {seed % 1000, episode, step}.
struct FakeWorld {
  int action_size = 2;
  int episode_steps = 5;
  // Step of an episode (counted from 1) that ends it in a terminal state; 0: none.
  int terminates_at = 0;
  // Step that the simulation fails in; 0: none.
  int unstable_at = 0;
  // Only that many first episodes are unstable.
  int unstable_episodes = std::numeric_limits<int>::max();
  // Every reward is multiplied with it.
  double reward_scale = 1;
  // Step that is refused as misuse; 0: none.
  int misused_at = 0;
  // Step whose observation is NaN; 0: none.
  int nan_observation_at = 0;
  int nan_reward_at = 0;
  // Step whose reward is finite as a double and no float32; 0: none.
  int huge_reward_at = 0;
  // Resets that fail with ABORTED before one succeeds.
  int aborted_resets = 0;
};

class FakeEnvironment : public env::Environment {
 public:
  FakeEnvironment(const FakeWorld& world, uint32_t seed) : world_(world), seed_(seed % 1000) {
    spec_.task = "fake";
    spec_.observation_size = 3;
    spec_.action_size = world.action_size;
    spec_.action_low.assign(world.action_size, -1);
    spec_.action_high.assign(world.action_size, 1);
    spec_.episode_steps = world.episode_steps;
    spec_.terminates = world.terminates_at > 0;
  }

  const env::EnvironmentSpec& spec() const override { return spec_; }

  absl::Status Reset() override {
    if (aborted_++ < world_.aborted_resets) return absl::AbortedError("no valid start");
    aborted_ = 0;
    ++episode_;
    step_ = 0;
    Observe();
    return absl::OkStatus();
  }

  absl::StatusOr<env::StepResult> Step(std::span<const double> action) override {
    ++step_;
    env::StepResult result;
    result.reward = world_.reward_scale * action[0];
    if (step_ == world_.misused_at) return absl::InvalidArgumentError("action of another size");
    if (step_ == world_.unstable_at && episode_ < world_.unstable_episodes) {
      fault_ = absl::InternalError("exploded");
      return env::StepResult{.truncated = true, .unstable = true};
    }
    Observe();
    if (step_ == world_.nan_observation_at) {
      observation_[1] = std::numeric_limits<double>::quiet_NaN();
    }
    if (step_ == world_.nan_reward_at) result.reward = std::numeric_limits<double>::infinity();
    if (step_ == world_.huge_reward_at) result.reward = 1e39;
    result.terminated = step_ == world_.terminates_at;
    result.truncated = !result.terminated && step_ == world_.episode_steps;
    return result;
  }

  std::span<const double> observation() const override { return observation_; }
  const absl::Status& fault() const override { return fault_; }

 private:
  void Observe() {
    observation_[0] = seed_;
    observation_[1] = episode_;
    observation_[2] = step_;
  }

  const FakeWorld world_;
  const uint32_t seed_;
  env::EnvironmentSpec spec_;
  std::vector<double> observation_ = {0, 0, 0};
  absl::Status fault_;
  int aborted_ = 0;
  int episode_ = -1;
  int step_ = 0;
};

inline EnvironmentFactory FakeFactory(const FakeWorld& world) {
  return [world](uint32_t seed) -> absl::StatusOr<std::unique_ptr<env::FloatEnvironment>> {
    return std::make_unique<env::FloatEnvironment>(std::make_unique<FakeEnvironment>(world, seed));
  };
}

// Plans whose numbers follow from the request alone: action = seed % 100 / 100, warm start = that
// of the request + 1/128 in every entry (0 at the start of an episode).
class FakePlanSource : public PlanSource {
 public:
  struct Asked {
    std::vector<float> observation;
    std::vector<float> warm_start;
    uint64_t seed = 0;
    bool evaluate = false;
    ParameterVersion pinned_version;
    Plan* plan = nullptr;
    // Tells the listener.
    std::function<void(const absl::Status&)> done;
    // Which request it came in, counted from 0.
    int request = 0;
  };

  explicit FakePlanSource(int action_size, int horizon = 3)
      : action_size_(action_size), horizon_(horizon) {}

  // Each query is answered by itself.
  void Request(std::span<const PlanQuery> queries, const PlanMode& mode,
               PlanListener* listener) override {
    std::vector<Asked> answered;
    {
      MutexLock lock(&mu_);
      for (const PlanQuery& query : queries) {
        Asked asked = ToAsked(query, mode, listener);
        log_.push_back(asked);
        log_.back().done = nullptr;
        if (automatic_ > 0) {
          --automatic_;
          answered.push_back(std::move(asked));
        } else {
          waiting_.push_back(std::move(asked));
        }
      }
      ++requests_;
      changed_.SignalAll();
    }
    for (const Asked& asked : answered) Answer(asked);
  }

  // The next `count` queries are answered at once.
  void AnswerNext(int count) {
    MutexLock lock(&mu_);
    automatic_ = count;
  }

  // Takes the i-th waiting query as soon as there are more than i.
  Asked Take(size_t i = 0) {
    MutexLock lock(&mu_);
    while (waiting_.size() <= i) changed_.Wait(&mu_);
    Asked request = waiting_[i];
    waiting_.erase(waiting_.begin() + i);
    return request;
  }
  void AwaitWaiting(size_t count) {
    MutexLock lock(&mu_);
    while (waiting_.size() < count) changed_.Wait(&mu_);
  }
  size_t waiting() const {
    MutexLock lock(&mu_);
    return waiting_.size();
  }

  void Answer(const Asked& request) {
    const float x = static_cast<float>(request.seed % 100) / 100;
    Plan& plan = *request.plan;
    plan.action.assign(action_size_, x);
    plan.mean.assign(action_size_, x / 2);
    plan.std.assign(action_size_, 0.25f);
    plan.warm_start.assign(static_cast<size_t>(action_size_) * horizon_,
                           request.warm_start.empty() ? 0.0f : request.warm_start[0] + 0.0078125f);
    plan.value = 10 * x;
    plan.version = {1, 7};
    request.done(absl::OkStatus());
  }
  // Answers the oldest waiting query.
  void AnswerOne(size_t i = 0) { Answer(Take(i)); }
  void Fail(const absl::Status& status, size_t i = 0) { Take(i).done(status); }

  std::vector<Asked> log() const {
    MutexLock lock(&mu_);
    return log_;
  }

 private:
  Asked ToAsked(const PlanQuery& query, const PlanMode& mode, PlanListener* listener) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return {.observation = {query.observation.begin(), query.observation.end()},
            .warm_start = {query.warm_start.begin(), query.warm_start.end()},
            .seed = query.seed,
            .evaluate = mode.evaluate,
            .pinned_version = mode.pinned_version,
            .plan = query.plan,
            .done =
                [listener, slot = query.slot](const absl::Status& status) {
                  listener->OnPlans({&slot, 1}, status);
                },
            .request = requests_};
  }

  const int action_size_;
  const int horizon_;
  mutable Mutex mu_;
  CondVar changed_;
  int requests_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Asked> waiting_ ABSL_GUARDED_BY(mu_);
  std::vector<Asked> log_ ABSL_GUARDED_BY(mu_);
  int automatic_ ABSL_GUARDED_BY(mu_) = 0;
};

// Keeps what it is given, copied.
class FakeRowSink : public RowSink {
 public:
  struct StoredRow {
    std::vector<float> observation, action, plan_mean, plan_std;
    float reward = 0;
    bool terminated = false;
    float plan_value = 0;
    ParameterVersion version;

    bool operator==(const StoredRow&) const = default;
  };
  struct Episode {
    int environment = 0;
    std::vector<StoredRow> rows;
    std::vector<float> final_observation;

    bool operator==(const Episode&) const = default;
  };

  void SetListener(RowSinkListener* listener) { listener_ = listener; }
  // Rows each environment may still append; then it is full.
  void SetRoom(int environment, int rows) {
    {
      MutexLock lock(&mu_);
      room_[environment] = rows;
    }
    if (rows > 0 && listener_ != nullptr) listener_->OnRoom(environment);
  }
  // Refuses the present episode of `environment`, as a shard does: the listener hears why, and what
  // comes next of the episode is not taken.
  void Refuse(int environment, const absl::Status& why) {
    {
      MutexLock lock(&mu_);
      refused_[environment] = absl::AbortedError("refused");
    }
    listener_->OnRefused(environment, why);
  }
  // Fails what comes next from the present episode of `environment`.
  void Fail(int environment, const absl::Status& status) {
    MutexLock lock(&mu_);
    refused_[environment] = status;
  }
  // Turns everything away.
  void TurnAway(const absl::Status& status) {
    MutexLock lock(&mu_);
    refuses_all_ = status;
  }
  // Takes rows and ends of `environment` without acknowledging them; whoever refuses them says so
  // later: RefuseEarlier.
  void HoldBack(int environment) {
    MutexLock lock(&mu_);
    held_back_.insert(environment);
  }
  // Refuses an episode of `environment` that has ended.
  void RefuseEarlier(int environment, const absl::Status& why) {
    listener_->OnRefused(environment, why);
  }
  // Refuses the end of the next episode of `environment`.
  void RefuseEnd(int environment, const absl::Status& why) {
    MutexLock lock(&mu_);
    refused_ends_[environment] = why;
  }

  void BeginEpisode(int environment) override {
    MutexLock lock(&mu_);
    refused_.erase(environment);
    current_[environment] = static_cast<int>(episodes_.size());
    episodes_.push_back({.environment = environment});
    changed_.SignalAll();
  }
  bool HasRoom(int environment) override {
    MutexLock lock(&mu_);
    const auto it = room_.find(environment);
    return it == room_.end() || it->second > 0;
  }
  absl::Status Append(int environment, const replay::RowView& row) override {
    MutexLock lock(&mu_);
    if (!refuses_all_.ok()) return refuses_all_;
    if (refused_.count(environment) > 0) return refused_[environment];
    if (const auto it = room_.find(environment); it != room_.end()) --it->second;
    const auto floats = [](std::span<const float> values) {
      return std::vector<float>(values.begin(), values.end());
    };
    StoredRow stored = {.observation = floats(row.Get<float>("observations")),
                        .action = floats(row.Get<float>("actions")),
                        .plan_mean = floats(row.Get<float>("plan_mean")),
                        .plan_std = floats(row.Get<float>("plan_std")),
                        .reward = row.Get<float>("rewards")[0],
                        .terminated = row.Get<uint8_t>("terminated")[0] != 0};
    if (row.has_plan()) {
      stored.plan_value = row.Get<float>("plan_value")[0];
      stored.version = row.Get<ParameterVersion>("versions")[0];
    }
    episodes_[current_[environment]].rows.push_back(std::move(stored));
    ++rows_;
    if (!held_back_.contains(environment)) ++acknowledged_[environment];
    changed_.SignalAll();
    return absl::OkStatus();
  }
  absl::Status EndEpisode(int environment, std::span<const float> final_observation) override {
    MutexLock lock(&mu_);
    if (refused_.count(environment) > 0) return refused_[environment];
    if (const auto it = refused_ends_.find(environment); it != refused_ends_.end()) {
      listener_->OnRefused(environment, it->second);
      refused_ends_.erase(it);
      return absl::AbortedError("refused");
    }
    if (!held_back_.contains(environment)) ++acknowledged_[environment];
    episodes_[current_[environment]].final_observation.assign(final_observation.begin(),
                                                              final_observation.end());
    changed_.SignalAll();
    return absl::OkStatus();
  }

  uint64_t Acknowledged(int environment) override {
    MutexLock lock(&mu_);
    return acknowledged_[environment];
  }

  void AwaitRows(int rows) {
    MutexLock lock(&mu_);
    while (rows_ < rows) changed_.Wait(&mu_);
  }
  void AwaitEpisodes(size_t begun) {
    MutexLock lock(&mu_);
    while (episodes_.size() < begun) changed_.Wait(&mu_);
  }
  std::vector<Episode> episodes() const {
    MutexLock lock(&mu_);
    return episodes_;
  }
  std::vector<Episode> episodes(int environment) const {
    std::vector<Episode> own;
    for (const Episode& episode : episodes()) {
      if (episode.environment == environment) own.push_back(episode);
    }
    return own;
  }

 private:
  RowSinkListener* listener_ = nullptr;
  mutable Mutex mu_;
  CondVar changed_;
  std::vector<Episode> episodes_ ABSL_GUARDED_BY(mu_);
  std::map<int, int> current_ ABSL_GUARDED_BY(mu_);
  std::map<int, int> room_ ABSL_GUARDED_BY(mu_);
  std::map<int, absl::Status> refused_ ABSL_GUARDED_BY(mu_);
  std::map<int, absl::Status> refused_ends_ ABSL_GUARDED_BY(mu_);
  absl::Status refuses_all_ ABSL_GUARDED_BY(mu_);
  std::set<int> held_back_ ABSL_GUARDED_BY(mu_);
  std::map<int, uint64_t> acknowledged_ ABSL_GUARDED_BY(mu_);
  int rows_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace pompc::actor

#endif  // POMPC_TESTS_ACTOR_FAKES_H_
