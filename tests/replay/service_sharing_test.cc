#include <array>
#include <atomic>
#include <deque>
#include <vector>

#include "common/base/threads.h"
#include "tests/replay/service_fixture.h"
#include "tests/support/await.h"

namespace pompc::replay {
namespace {

// Three writers that send large chunks, as many as they can, and one that sends two rows and waits
// for their answer.
TEST_F(ServiceTest, WritersShareATightGrantWhateverTheyDemand) {
  Open(/*granted=*/0);
  constexpr uint32_t kWriters = 4, kSlow = 3;
  constexpr uint64_t kRows = 240;
  std::deque<Stream> streams;
  for (uint32_t w = 0; w < kWriters; ++w) streams.emplace_back(*stub_);
  std::array<std::atomic<uint64_t>, kWriters> acked = {};
  std::vector<Thread> threads;
  for (uint32_t w = 0; w < kWriters; ++w) {
    const uint32_t chunk_rows = w == kSlow ? 2 : 32;
    const auto send = [&streams, w, chunk_rows](uint64_t row) {
      streams[w].Write(Chunk(w, row, RowBuilder(kSpec).AddMany(row, chunk_rows)));
    };
    if (w != kSlow) {
      threads.emplace_back("send", [send, chunk_rows] {
        for (uint64_t row = 0; row < 2 * kRows; row += chunk_rows) send(row);
      });
    }
    threads.emplace_back("read", [&streams, &acked, send, w] {
      if (w == kSlow) send(0);
      while (acked[w] < kRows) {
        const proto::AppendReply reply = streams[w].Read();
        if (!reply.has_stream()) continue;
        acked[w] = reply.next_row();
        if (w == kSlow && acked[w] % 2 == 0) send(acked[w]);
      }
    });
  }
  // The next rows are granted once all wait again.
  uint64_t granted = 0;
  while (acked[kSlow] < kRows / 2) {
    ASSERT_TRUE(Await([&] {
      return Info()->accepted_rows() == granted && Info()->blocked_streams() == kWriters;
    }));
    ASSERT_TRUE(Grant(granted += 10).ok());
  }
  for (uint32_t w = 0; w < kWriters; ++w) {
    EXPECT_GE(acked[w], granted / kWriters * 3 / 4) << "writer " << w << " of " << granted;
    EXPECT_LE(acked[w], granted / kWriters * 5 / 4) << "writer " << w << " of " << granted;
  }
  ASSERT_TRUE(Grant(1000000).ok());
}

}  // namespace
}  // namespace pompc::replay
