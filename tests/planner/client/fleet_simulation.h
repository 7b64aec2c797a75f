#ifndef POMPC_TESTS_PLANNER_CLIENT_FLEET_SIMULATION_H_
#define POMPC_TESTS_PLANNER_CLIENT_FLEET_SIMULATION_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "planner/client/endpoint_picker.h"

namespace pompc::planner {

// A planner of a simulated fleet. A batch takes `batch` and for each query in it `query`; each of
// its threads plans one batch at a time.
struct SimulatedPlanner {
  absl::Duration batch;
  absl::Duration query;
  size_t max_batch = 64;
  int threads = 1;

  // Queries in a second while all its batches are full.
  double Capacity() const {
    const auto most = static_cast<double>(max_batch);
    return threads * most / absl::ToDoubleSeconds(batch + most * query);
  }
};

// Actors that choose planners with an EndpointPicker each, in simulated time: each of an actor's
// environments asks for its next plan `think` after it got the last one.
class FleetSimulation {
 public:
  FleetSimulation(std::vector<SimulatedPlanner> planners, int actors, int environments,
                  absl::Duration think, uint64_t seed)
      : think_(think) {
    for (int i = 0; i < actors; ++i) {
      EndpointPickerOptions options;
      options.seed = seed + static_cast<uint64_t>(i);
      actors_.push_back(std::make_unique<Actor>(Actor{EndpointPicker(options), {}}));
    }
    for (const SimulatedPlanner& planner : planners) AddPlanner(planner);
    for (int i = 0; i < actors; ++i) {
      for (int j = 0; j < environments; ++j) {
        // They do not all begin in the same moment.
        At(think * ((i * environments + j) % 97) / 97, [this, i] { Ask(i); });
      }
    }
  }

  // All actors find it at once.
  void AddPlanner(const SimulatedPlanner& planner) {
    servers_.push_back({.spec = planner});
    for (const auto& actor : actors_) actor->ids.push_back(actor->picker.Add());
  }
  SimulatedPlanner& planner(size_t i) { return servers_[i].spec; }

  void Run(absl::Duration duration) {
    const absl::Duration end = now_ + duration;
    for (Server& server : servers_) server.answered = 0;
    latencies_.clear();
    while (!events_.empty() && events_.top().at <= end) {
      const std::function<void()> run = events_.top().run;
      now_ = events_.top().at;
      events_.pop();
      run();
    }
    now_ = end;
    seconds_ = absl::ToDoubleSeconds(duration);
  }

  // Plans in a second, in the last Run.
  double Rate(size_t planner) const { return servers_[planner].answered / seconds_; }
  double Rate() const {
    double sum = 0;
    for (size_t i = 0; i < servers_.size(); ++i) sum += Rate(i);
    return sum;
  }
  // The mean time from a query to its plan, in the last Run.
  absl::Duration MeanLatency() const {
    absl::Duration sum;
    for (const absl::Duration latency : latencies_) sum += latency;
    return latencies_.empty() ? sum : sum / static_cast<double>(latencies_.size());
  }

 private:
  struct Query {
    int actor;
    absl::Duration asked;
  };
  struct Server {
    SimulatedPlanner spec;
    int busy = 0;
    std::deque<Query> queue = {};
    double answered = 0;
  };
  struct Actor {
    EndpointPicker picker;
    std::vector<EndpointPicker::Id> ids;
  };
  struct Event {
    absl::Duration at;
    uint64_t order;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return std::pair(at, order) > std::pair(other.at, other.order);
    }
  };

  void At(absl::Duration when, std::function<void()> run) {
    events_.push({when, next_event_++, std::move(run)});
  }

  void Ask(int actor) {
    Actor& it = *actors_[static_cast<size_t>(actor)];
    const EndpointPicker::Id id = it.picker.Pick({}, now_).value();
    it.picker.Sent(id, 1, now_);
    const auto server =
        static_cast<size_t>(std::find(it.ids.begin(), it.ids.end(), id) - it.ids.begin());
    servers_[server].queue.push_back({actor, now_});
    Start(server);
  }

  void Start(size_t index) {
    Server& server = servers_[index];
    if (server.busy == server.spec.threads || server.queue.empty()) return;
    ++server.busy;
    // Each thread takes its even share of what waits.
    const auto free = static_cast<size_t>(server.spec.threads - server.busy + 1);
    const size_t count = std::min((server.queue.size() + free - 1) / free, server.spec.max_batch);
    const std::vector<Query> batch(server.queue.begin(),
                                   server.queue.begin() + static_cast<ptrdiff_t>(count));
    server.queue.erase(server.queue.begin(), server.queue.begin() + static_cast<ptrdiff_t>(count));
    const absl::Duration compute =
        server.spec.batch + static_cast<double>(count) * server.spec.query;
    At(now_ + compute, [this, index, batch, compute] { Finish(index, batch, compute); });
  }

  void Finish(size_t index, const std::vector<Query>& batch, absl::Duration compute) {
    --servers_[index].busy;
    servers_[index].answered += static_cast<double>(batch.size());
    for (const Query& query : batch) {
      Actor& actor = *actors_[static_cast<size_t>(query.actor)];
      const absl::Duration latency = now_ - query.asked;
      latencies_.push_back(latency);
      actor.picker.Ended(actor.ids[index], 1, query.asked);
      actor.picker.Succeeded(actor.ids[index],
                             {.latency = latency,
                              .queue = latency - compute,
                              .per_query = compute / static_cast<double>(batch.size())},
                             now_);
      At(now_ + think_, [this, i = query.actor] { Ask(i); });
    }
    Start(index);
  }

  const absl::Duration think_;
  std::vector<std::unique_ptr<Actor>> actors_;
  std::vector<Server> servers_;
  std::priority_queue<Event> events_;
  uint64_t next_event_ = 0;
  absl::Duration now_;
  double seconds_ = 1;
  std::vector<absl::Duration> latencies_;
};

}  // namespace pompc::planner

#endif  // POMPC_TESTS_PLANNER_CLIENT_FLEET_SIMULATION_H_
