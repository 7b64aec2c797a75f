#include <memory>

#include "gtest/gtest.h"
#include "tests/replay/shard_duel.h"

namespace pompc::replay {
namespace {

TEST(ShardModelTest, RandomOperationsAgreeWithThePlainModel) {
  RunDuels(25, [] { return std::make_unique<MemoryStore>(); });
}

}  // namespace
}  // namespace pompc::replay
