#ifndef POMPC_TESTS_REPLAY_FAULTS_STORE_MODEL_H_
#define POMPC_TESTS_REPLAY_FAULTS_STORE_MODEL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "replay/core/random.h"
#include "replay/core/store.h"

namespace pompc::replay {

// What a shard's store holds, in words: one for each slot, segment, plan and so on, each with every
// number of it. Two contents are the same, but for grants, exactly if their words are.
class ContentWords {
 public:
  // Takes in a record, as it is handed to a store or comes back from one.
  void Add(const StoreRecord& record);
  std::set<std::string> words() const;

 private:
  struct Adder;
  using Environment = std::pair<uint32_t, uint32_t>;

  std::string config_;
  uint64_t oldest_ = 0;
  std::map<uint32_t, uint64_t> actors_;
  std::map<std::string, std::string> segments_;
  std::map<Environment, std::string> marks_;
  std::map<uint64_t, std::string> slots_, plans_;
  std::set<uint64_t> barred_;
};

// What a store gives back.
absl::StatusOr<std::set<std::string>> LoadedWords(Store* store);

// Hands records of every kind to stores, as a shard with few slots would: writers with episodes
// that end, are refused or forgotten, later incarnations, plans, barred windows. Everything follows
// from the seed.
class StoreWorkload {
 public:
  static constexpr RowSpec kSpec{.observation_size = 3, .action_size = 2};
  // Slots of the table whose evictions it plays.
  static constexpr uint64_t kSlots = 60;

  explicit StoreWorkload(uint64_t seed) : random_(seed) {}

  // Makes the next group of records, which become durable together, and passes it on.
  void Next(const std::function<void(std::span<const StoreRecord>)>& record);

 private:
  struct Writer {
    SegmentId id;
    uint64_t next_row = 0;
    uint64_t tail = Table::kNoAddress;
  };

  void NextChunk(const std::function<void(std::span<const StoreRecord>)>& record);
  Writer& AnyWriter() { return writers_[random_.Below(writers_.size())]; }
  std::vector<uint64_t> AnyAddresses();
  SegmentRecord StateOf(const Writer& writer) const;

  Random random_;
  std::vector<Writer> writers_ = {
      {{0, 1, 0, 0, 0}}, {{0, 1, 1, 0, 0}}, {{1, 1, 0, 0, 0}}, {{1, 1, 7, 0, 0}}};
  uint64_t next_ = 0, oldest_ = 0, rows_ = 0, planned_rows_ = 0;
  uint64_t configs_ = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_TESTS_REPLAY_FAULTS_STORE_MODEL_H_
