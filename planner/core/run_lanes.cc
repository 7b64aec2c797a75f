#include "planner/core/run_lanes.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace pompc::planner {

void RunLanes::Push(PlanCall call) {
  Group& group = groups_[call.pinned.get()];
  const uint64_t client = call.client;
  const Lane lane = LaneOf(call);
  const auto [it, is_new] = group.clients.try_emplace(client);
  Waiting& waiting = it->second;
  POMPC_CHECK(is_new || waiting.calls.rbegin()->first < call.id, "calls come by their ids");
  if (is_new) {
    waiting.served = Start(lane);
    const LaneKey key{lane.client, lane.pinned};
    ahead_order_.erase({waiting.served, key});
    ahead_.erase(key);
  }
  waiting.calls.emplace(call.id, std::move(call));
  if (is_new) group.turns.insert(TurnOf(client, waiting));
  ++size_;
}

uint64_t RunLanes::Start(Lane lane) const {
  const auto ahead = ahead_.find({lane.client, lane.pinned});
  return ahead == ahead_.end() ? turn_ : std::max(turn_, ahead->second);
}

const PlanCall* RunLanes::Next() const {
  const Group* next = nullptr;
  for (const auto& [pinned, group] : groups_) {
    if (next == nullptr || *group.turns.begin() < *next->turns.begin()) next = &group;
  }
  return next == nullptr ? nullptr : &FirstCall(*next);
}

const PlanCall* RunLanes::Next(const PlannerModel* model, const PlannerModel* newest) const {
  POMPC_CHECK(model != nullptr);
  const auto pinned = groups_.find(model);
  const auto free = model == newest ? groups_.find(nullptr) : groups_.end();
  if (pinned == groups_.end() && free == groups_.end()) return nullptr;
  if (pinned == groups_.end()) return &FirstCall(free->second);
  if (free == groups_.end()) return &FirstCall(pinned->second);
  const bool pinned_first = *pinned->second.turns.begin() < *free->second.turns.begin();
  return &FirstCall(pinned_first ? pinned->second : free->second);
}

PlanCall RunLanes::Serve(const PlanCall& call, bool leads) {
  const Lane lane = LaneOf(call);
  const uint64_t served = groups_.at(lane.pinned).clients.at(lane.client).served;
  // The client that leads a batch is the one served least of all; those that join it, because they
  // wait for the same parameters, may be ahead of others.
  POMPC_CHECK_GE(served, turn_, "virtual time went back");
  if (leads) turn_ = served;
  while (!ahead_order_.empty() && ahead_order_.begin()->first <= turn_) {
    ahead_.erase(ahead_order_.begin()->second);
    ahead_order_.erase(ahead_order_.begin());
  }
  return Take(lane, call.id, /*plans=*/1);
}

PlanCall RunLanes::Remove(Lane lane, uint64_t id) { return Take(lane, id, /*plans=*/0); }

PlanCall RunLanes::Take(Lane lane, uint64_t id, uint64_t plans) {
  const auto group = groups_.find(lane.pinned);
  POMPC_CHECK(group != groups_.end(), "the call waits");
  auto& [clients, turns] = group->second;
  const auto client = clients.find(lane.client);
  POMPC_CHECK(client != clients.end(), "the call waits");
  Waiting& waiting = client->second;
  turns.erase(TurnOf(lane.client, waiting));
  const auto call = waiting.calls.find(id);
  POMPC_CHECK(call != waiting.calls.end(), "the call waits");
  PlanCall taken = std::move(call->second);
  waiting.calls.erase(call);
  waiting.served += plans;
  --size_;
  if (!waiting.calls.empty()) {
    turns.insert(TurnOf(lane.client, waiting));
  } else {
    if (waiting.served > turn_) {
      const LaneKey key{lane.client, lane.pinned};
      ahead_.emplace(key, waiting.served);
      ahead_order_.emplace(waiting.served, key);
    }
    clients.erase(client);
    if (clients.empty()) groups_.erase(group);
  }
  return taken;
}

size_t RunLanes::PlansUntil(Lane lane, size_t more) const {
  uint64_t served = Start(lane);
  size_t plans = more;
  const auto own = groups_.find(lane.pinned);
  if (own != groups_.end()) {
    const auto client = own->second.clients.find(lane.client);
    if (client != own->second.clients.end()) {
      served = client->second.served;
      plans += client->second.calls.size();
    }
  }
  // Another client comes first until it has had more plans than the lane will have had before its
  // last call: where both have had as many, the call that came first is planned first.
  const uint64_t last = served + plans - 1;
  for (const auto& [pinned, group] : groups_) {
    for (const auto& [client, waiting] : group.clients) {
      if (pinned == lane.pinned && client == lane.client) continue;
      if (waiting.served > last) continue;
      plans += std::min<uint64_t>(waiting.calls.size(), last + 1 - waiting.served);
    }
  }
  return plans;
}

void RunLanes::CheckInvariants() const {
  size_t size = 0;
  for (const auto& [pinned, group] : groups_) {
    POMPC_CHECK(!group.clients.empty());
    POMPC_CHECK_EQ(group.clients.size(), group.turns.size());
    for (const auto& [client, waiting] : group.clients) {
      POMPC_CHECK(!waiting.calls.empty());
      POMPC_CHECK_GE(waiting.served, turn_);
      POMPC_CHECK(group.turns.contains(TurnOf(client, waiting)));
      size += waiting.calls.size();
      for (const auto& [id, call] : waiting.calls) {
        POMPC_CHECK(call.id == id && call.client == client && call.pinned.get() == pinned);
      }
    }
  }
  POMPC_CHECK_EQ(size, size_);
  POMPC_CHECK_EQ(ahead_.size(), ahead_order_.size());
  POMPC_CHECK(ahead_order_.empty() || ahead_order_.begin()->first > turn_);
}

}  // namespace pompc::planner
