#ifndef POMPC_TESTS_REPLAY_SHARD_DUEL_H_
#define POMPC_TESTS_REPLAY_SHARD_DUEL_H_

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "replay/core/random.h"
#include "replay/core/shard.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {

// What a shard must do, as plainly as it can be said: all slots in a deque, windows found by
// looking.
class ModelShard {
 public:
  using Kind = AppendOutcome::Kind;
  using Name = std::tuple<uint32_t, uint64_t, uint32_t, uint64_t>;  // actor, inc., env, episode
  struct Segment {
    uint64_t next_row = 0;
    bool ended = false;
    bool refused = false;
    bool terminated = false;
  };
  struct Slot {
    Name segment;
    uint64_t position;  // in its segment; a final observation follows the last row
    uint64_t id;
    bool is_final;
    std::optional<float> plan_mean = std::nullopt;  // if it was replaced
  };
  // The slots of a window's observations: one more than it has rows, H at most.
  using Window = std::vector<Slot>;

  ModelShard(uint64_t capacity, uint32_t horizon) : capacity_(capacity), horizon_(horizon) {}

  // True if row `id` leads to a terminal state.
  static bool Terminated(uint64_t id) { return id % 23 == 0; }

  AppendOutcome Append(const SegmentId& id, uint64_t first_row, const std::vector<uint64_t>& ids,
                       const std::vector<bool>& planned, bool bad, bool has_final,
                       uint64_t final_id) {
    uint64_t& newest = incarnation_.try_emplace(id.actor_index, id.incarnation).first->second;
    if (id.incarnation < newest) return {Kind::kRefused};
    newest = id.incarnation;
    const Name name{id.actor_index, id.incarnation, id.environment, id.episode};
    Segment& segment = segments_[name];
    const uint64_t end = first_row + ids.size();
    const bool fits = first_row <= segment.next_row;
    const bool over = segment.ended || segment.terminated;
    const bool contradicts =
        fits && ((over && end > segment.next_row) || (has_final && end < segment.next_row));
    if (segment.refused || contradicts) {
      segment.refused = true;
      return {Kind::kRefused};
    }
    if (!fits) return {Kind::kGap, segment.next_row, segment.ended};
    const uint64_t skip = segment.next_row - first_row;
    const bool new_rows = skip < ids.size();
    if (!new_rows && (!has_final || segment.ended)) {
      return {Kind::kAcked, segment.next_row, segment.ended};
    }
    bool refuse = bad && new_rows;
    for (size_t i = skip; i < ids.size(); ++i) {
      refuse |= seed_phase_over && !planned[i];
      refuse |= Terminated(ids[i]) && i + 1 < ids.size();
    }
    if (refuse) {
      segment.refused = true;
      return {Kind::kRefused};
    }
    for (size_t i = skip; i < ids.size(); ++i) {
      if (accepted >= granted) return {Kind::kBlocked, segment.next_row, segment.ended};
      Push({name, segment.next_row++, ids[i], false});
      segment.terminated = Terminated(ids[i]);
      ++accepted;
    }
    if (has_final) {
      Push({name, segment.next_row, final_id, true});
      segment.ended = true;
    }
    return {Kind::kAcked, segment.next_row, segment.ended};
  }

  void Bar(uint64_t address) { barred_.insert(address); }
  void UpdatePlan(uint64_t address, float mean) {
    if (address >= first_ && address < next()) slots_[address - first_].plan_mean = mean;
  }
  void Resize(uint64_t capacity, uint32_t horizon) {
    capacity_ = capacity;
    horizon_ = horizon;
    while (slots_.size() > capacity_) EvictOldest();
    // Bars of windows that there are not with this horizon are forgotten.
    std::set<uint64_t> barred;
    barred.swap(barred_);
    for (const auto& [address, window] : Windows()) {
      if (barred.contains(address)) barred_.insert(address);
    }
  }

  // Every valid window, with the address of its first row.
  std::map<uint64_t, Window> Windows() const {
    std::map<uint64_t, Window> windows;
    for (size_t s = 0; s < slots_.size(); ++s) {
      Window window = {slots_[s]};
      for (size_t i = s + 1; i < slots_.size() && window.size() <= horizon_; ++i) {
        if (slots_[i].segment != slots_[s].segment) continue;
        if (slots_[i].position == window.back().position + 1) window.push_back(slots_[i]);
      }
      // A segment that terminated and is shorter than a window is one, from its first row.
      const bool short_one = window.size() > 1 && window.front().position == 0 &&
                             window.back().is_final && segments_.at(slots_[s].segment).terminated;
      const bool whole = window.size() == horizon_ + 1 || short_one;
      if (whole && !barred_.contains(first_ + s)) windows[first_ + s] = window;
    }
    return windows;
  }

  uint64_t stored_rows() const {
    return std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.is_final; });
  }

  uint64_t first() const { return first_; }
  uint64_t next() const { return first_ + slots_.size(); }
  uint64_t barred() const { return barred_.size(); }

  uint64_t accepted = 0;
  uint64_t granted = 0;
  bool seed_phase_over = false;

 private:
  void Push(Slot slot) {
    if (slots_.size() == capacity_) EvictOldest();
    slots_.push_back(slot);
  }
  void EvictOldest() {
    slots_.pop_front();
    barred_.erase(first_++);
  }

  uint64_t capacity_;
  uint32_t horizon_;
  std::map<uint32_t, uint64_t> incarnation_;
  std::map<Name, Segment> segments_;
  std::deque<Slot> slots_;
  uint64_t first_ = 0;  // address of slots_[0]
  std::set<uint64_t> barred_;
};

// Drives a shard and the model with the same random operations.
class Duel {
 public:
  // `store` is empty.
  Duel(uint64_t seed, std::unique_ptr<Store> store)
      : random_(seed),
        horizon_(1 + random_.Below(4)),
        capacity_(horizon_ + 1 + random_.Below(40)),
        persistent_(store->persistent()),
        shard_(1, &clock_, std::move(store)),
        model_(capacity_, horizon_) {
    Load();
    Configure();
    // The first grant: a shard that has heard of no leases takes no rows.
    POMPC_CHECK_OK(shard_.Grant({model_.granted, "test", false}));
  }

  void Step() {
    switch (random_.Below(13)) {
      case 0:
        Grant();
        break;
      case 3:
        UpdatePlans();
        if (random_.Below(10) == 0) Resize();
        break;
      case 2:
        BarSomething();
        break;
      case 1:
        if (random_.Below(100) == 0) ++incarnation_[random_.Below(2)];
        break;
      default:
        AppendSomething();
    }
  }

  void Compare() {
    const ShardCounts counts = shard_.counts();
    const auto windows = model_.Windows();
    ASSERT_EQ(counts.accepted_rows, model_.accepted);
    ASSERT_EQ(counts.stored_rows, model_.stored_rows());
    ASSERT_EQ(counts.windows, windows.size());
    ASSERT_EQ(counts.barred_windows, model_.barred());
    if (windows.empty()) return;
    const size_t draws = windows.size() * 20;
    WindowBuffer buffer(kSpec, horizon_, draws);
    ASSERT_TRUE(shard_.Sample(random_.Next(), buffer.Columns()).ok());
    std::set<uint64_t> seen;
    for (size_t b = 0; b < draws; ++b) {
      const uint64_t start = buffer.addresses[b * (horizon_ + 1)];
      ASSERT_TRUE(windows.contains(start)) << "window at " << start << " is not valid";
      seen.insert(start);
      const ModelShard::Window& window = windows.at(start);
      const size_t rows = window.size() - 1;
      if (rows < horizon_) ++short_windows_seen_;
      for (uint32_t t = 0; t <= horizon_; ++t) {
        const ModelShard::Slot& slot = window[std::min<size_t>(t, rows)];
        const uint64_t id = slot.id;
        ASSERT_EQ(buffer.observations[(b * (horizon_ + 1) + t) * 2],
                  RowBuilder::Observation(id, 0));
        if (slot.plan_mean.has_value() && !slot.is_final) {
          ASSERT_EQ(buffer.plan_mean[b * (horizon_ + 1) + t], *slot.plan_mean);
          ASSERT_EQ(buffer.plan_std[b * (horizon_ + 1) + t], 1 + *slot.plan_mean);
        }
        if (t == horizon_) break;
        ASSERT_EQ(buffer.rewards[b * horizon_ + t], t < rows ? RowBuilder::Reward(id) : 0);
        ASSERT_EQ(buffer.terminated[b * horizon_ + t], t >= rows || ModelShard::Terminated(id));
      }
    }
    ASSERT_GE(seen.size(), windows.size() / 2) << "hardly any window is drawn";
  }

  int short_windows_seen() const { return short_windows_seen_; }

 private:
  using Kind = AppendOutcome::Kind;
  static constexpr RowSpec kSpec{.observation_size = 2, .action_size = 1};

  class Waiter : public RoomWaiter {
   public:
    void OnRoom() override {}
  };

  void Load() {
    if (!persistent_) return;
    const auto no_config = [](const std::string&) -> absl::StatusOr<ShardConfig> {
      return absl::DataLossError("nothing is stored");
    };
    ASSERT_TRUE(shard_.Load(no_config).ok());
  }

  void Configure() {
    ASSERT_TRUE(shard_.Configure({"run", 0, {kSpec, horizon_, capacity_, 1 << 30}}).ok());
  }

  void Resize() {
    horizon_ = 1 + random_.Below(4);
    capacity_ = horizon_ + 1 + random_.Below(40);
    model_.Resize(capacity_, horizon_);
    Configure();
  }

  // Replaces the plans of two rows, which may be evicted, never stored or final observations.
  void UpdatePlans() {
    std::vector<uint64_t> addresses;
    std::vector<float> mean, std;
    for (int i = 0; i < 2; ++i) {
      addresses.push_back(random_.Below(model_.next() + 2));
      mean.push_back(static_cast<float>(random_.Below(64)) / 64);
      std.push_back(1 + mean.back());
      model_.UpdatePlan(addresses.back(), mean.back());
    }
    ASSERT_TRUE(shard_.UpdatePlans(Opening{1}, addresses, mean, std).ok());
  }

  void Grant() {
    model_.granted = model_.accepted + random_.Below(30);
    model_.seed_phase_over = model_.seed_phase_over || random_.Below(50) == 0;
    ASSERT_TRUE(shard_.Grant({model_.granted, "test", model_.seed_phase_over}).ok());
  }

  void BarSomething() {
    const auto windows = model_.Windows();
    if (windows.empty() || random_.Below(5) != 0) return;
    const uint64_t address = std::next(windows.begin(), random_.Below(windows.size()))->first;
    model_.Bar(address);
    const std::vector<uint64_t> addresses = {address};
    ASSERT_EQ(shard_.BarWindows(Opening{1}, addresses).value_or(0), 1);
  }

  // A chunk that goes on where its environment stands, or overlaps, or leaves a gap; now and then a
  // bad one, one without plans, one of an old incarnation or episode.
  void AppendSomething() {
    const uint32_t actor = random_.Below(2), environment = random_.Below(2);
    auto& [episode, next_row] = position_[{actor, environment}];
    if (random_.Below(15) == 0) {
      ++episode;
      next_row = 0;
    }
    SegmentId id{actor, incarnation_[actor], environment, episode, 0};
    if (random_.Below(60) == 0 && id.incarnation > 0) --id.incarnation;
    if (random_.Below(60) == 0 && id.episode > 0) --id.episode;
    const uint64_t back = random_.Below(4) == 0 ? random_.Below(next_row + 1) : 0;
    const uint64_t first_row = next_row - back + (random_.Below(40) == 0 ? 1 : 0);
    bool has_final = random_.Below(12) == 0;
    const uint32_t n = random_.Below(6) + (has_final ? 0 : 1);
    const bool bad = random_.Below(50) == 0, planned = random_.Below(20) != 0;
    RowBuilder rows(kSpec);
    std::vector<uint64_t> ids;
    for (uint32_t i = 0; i < n; ++i) {
      // The same row has the same content whenever it is sent.
      ids.push_back(((actor * 2 + environment) * 1000 + id.episode) * 500 + first_row + i);
      rows.Add(ids.back(), planned);
      if (!ModelShard::Terminated(ids.back())) continue;
      rows.Terminal();
      if (random_.Below(10) != 0) break;
    }
    if (!ids.empty() && ModelShard::Terminated(ids.back())) has_final |= random_.Below(2) == 0;
    const uint64_t final_id = ids.empty() ? 3 : ids.back() + 1;
    if (has_final) rows.Final(final_id);
    if (bad && n > 0) rows.rewards_.back() = 0.0f / 0.0f;
    const std::vector<bool> planned_ids(ids.size(), planned);
    const AppendOutcome want =
        model_.Append(id, first_row, ids, planned_ids, bad && n > 0, has_final, final_id);
    const AppendOutcome have = shard_.Append(id, first_row, rows.View(), waiter_);
    ASSERT_EQ(have.kind, want.kind) << id.ToString() << ": " << have.status;
    if (want.kind != Kind::kRefused) {
      ASSERT_EQ(have.next_row, want.next_row);
      ASSERT_EQ(have.ended, want.ended);
      if (id.episode == episode && id.incarnation == incarnation_[actor]) next_row = want.next_row;
    }
    if (want.kind == Kind::kRefused || want.ended) {
      ++episode;
      next_row = 0;
    }
  }

  Random random_;
  uint32_t horizon_;
  uint64_t capacity_;
  const bool persistent_;
  FakeClock clock_;
  Shard shard_;
  ModelShard model_;
  int short_windows_seen_ = 0;
  std::shared_ptr<Waiter> waiter_ = std::make_shared<Waiter>();
  std::map<uint32_t, uint64_t> incarnation_ = {{0, 1}, {1, 1}};
  std::map<std::pair<uint32_t, uint32_t>, std::pair<uint64_t, uint64_t>> position_;
};

// Duels of these seeds, each over a store that `open` makes.
template <typename Open>
void RunDuels(uint64_t seeds, Open open) {
  int short_windows = 0;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Duel duel(seed, open());
    for (int step = 0; step < 300; ++step) {
      duel.Step();
      if (step % 10 == 0) duel.Compare();
      if (testing::Test::HasFatalFailure()) return;
    }
    short_windows += duel.short_windows_seen();
  }
  EXPECT_GT(short_windows, 4 * static_cast<int>(seeds));
}

}  // namespace pompc::replay

#endif  // POMPC_TESTS_REPLAY_SHARD_DUEL_H_
