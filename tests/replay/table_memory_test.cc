// Counts what a table allocates. A program of its own, for it replaces operator new.
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "gtest/gtest.h"
#include "replay/core/table.h"
#include "tests/replay/row_builder.h"

namespace {

std::atomic<int64_t> allocated_bytes{0};

}  // namespace

void* operator new(size_t size) {
  void* const memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  allocated_bytes += static_cast<int64_t>(malloc_usable_size(memory));
  return memory;
}

void operator delete(void* memory) noexcept {
  if (memory != nullptr) allocated_bytes -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

void operator delete(void* memory, size_t /*size*/) noexcept { operator delete(memory); }

namespace pompc::replay {
namespace {

// What the header of Table and docs/replay.md promise.
constexpr int64_t kConstantBytes = int64_t{4} << 20;
constexpr uint64_t kCapacityBytes = uint64_t{16} << 20;

class TableMemoryTest : public testing::TestWithParam<RowSpec> {
 protected:
  // Appends segments of `rows` rows each until the table has evicted as many as it holds.
  void Fill(Table* table, uint32_t rows, bool has_final) {
    RowBuilder builder(table->spec());
    builder.AddMany(0, rows);
    if (has_final) builder.Final(rows);
    const uint64_t end = table->next() + 2 * table->capacity();
    while (table->next() < end) {
      uint64_t tail = Table::kNoAddress;
      ++id_.episode;
      table->Append({id_, 0, builder.View(), 0}, &tail);
      peak_ = std::max(peak_, allocated_bytes - before_);
    }
    EXPECT_LE(table->stored_bytes(), kCapacityBytes);
    EXPECT_GT(table->stored_bytes(),
              kCapacityBytes - 2 * table->slot_bytes() - 2 * SegmentRecords::kRecordBytes);
  }

  const int64_t before_ = allocated_bytes;
  int64_t peak_ = 0;
  SegmentId id_;
};

TEST_P(TableMemoryTest, StaysWithinItsCapacityInBytes) {
  TableOptions options;
  options.spec = GetParam();
  options.horizon = 3;
  options.capacity_rows = uint64_t{1} << 40;
  options.capacity_bytes = kCapacityBytes;
  Table table(options);
  for (const uint32_t rows : {1000u, 1u, 50u}) Fill(&table, rows, rows != 1);
  EXPECT_LE(peak_, static_cast<int64_t>(kCapacityBytes * 6 / 5) + kConstantBytes)
      << table.slot_bytes() << " bytes a slot";
}

INSTANTIATE_TEST_SUITE_P(Sizes, TableMemoryTest,
                         testing::Values(RowSpec{1, 1}, RowSpec{24, 6}, RowSpec{223, 21}));

}  // namespace
}  // namespace pompc::replay
