#ifndef POMPC_RUN_ROWS_ROW_COUNTER_H_
#define POMPC_RUN_ROWS_ROW_COUNTER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pompc::run {

// Rows of a run ever accepted, over all shards and over the memories they lost. Each incarnation of
// a shard counts from 0, so the run's count is the sum over incarnations. Not thread-safe.
class RowCounter {
 public:
  struct Incarnation {
    uint64_t id = 0;
    uint64_t rows = 0;

    bool operator==(const Incarnation&) const = default;
  };
  // What a checkpoint keeps.
  struct State {
    // The rows of incarnations too long gone to be told apart.
    uint64_t past_rows = 0;
    // Oldest first.
    std::vector<Incarnation> incarnations;

    bool operator==(const State&) const = default;
  };

  // Incarnations told apart at most; the oldest beyond that are summed up. To be more than the run
  // has shards. REQUIRES: > 0.
  explicit RowCounter(size_t max_incarnations = 1024);

  // A shard's memory `incarnation` has accepted `rows` rows so far. A smaller count than before
  // (a reply that was overtaken) changes nothing.
  void Observe(uint64_t incarnation, uint64_t rows);

  uint64_t total() const { return total_; }

  State Save() const { return state_; }
  void Restore(State state);

 private:
  // The oldest incarnations beyond `most` are told apart no more.
  void SumUpBeyond(size_t most);
  // What must hold between the fields after each change.
  void CheckInvariants() const;

  const size_t max_incarnations_;
  State state_;
  uint64_t total_ = 0;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_ROWS_ROW_COUNTER_H_
