// Both messages of Sample. A request of any bytes is refused, or answered with a reply that
// protobuf and the learner's client read alike. A reply of any bytes, in pieces of any size, is
// read by the client as protobuf reads it.
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "google/protobuf/descriptor.h"
#include "proto/replay.pb.h"
#include "replay/client/window_batch.h"
#include "replay/core/shard.h"
#include "replay/messages.h"
#include "replay/wire/sample_reply.h"
#include "tests/fuzz/byte_source.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

constexpr RowSpec kSpec{.observation_size = 2, .action_size = 1};
constexpr uint32_t kHorizon = 2;
constexpr uint32_t kRows = 20;

class NoWaiter : public RoomWaiter {
 public:
  void OnRoom() override {}
};

std::unique_ptr<Shard> FullShard() {
  auto shard = std::make_unique<Shard>(1, Clock::Real(), std::make_unique<MemoryStore>());
  ShardConfig config;
  config.run_id = "run";
  config.table = {kSpec, kHorizon, 64, uint64_t{1} << 20};
  POMPC_CHECK_OK(shard->Configure(config));
  POMPC_CHECK_OK(shard->Grant({~uint64_t{0}, "", false}));
  RowBuilder rows(kSpec);
  rows.AddMany(0, kRows);
  const AppendOutcome outcome =
      shard->Append({.incarnation = 1}, 0, rows.View(), std::make_shared<NoWaiter>());
  POMPC_CHECK(outcome.kind == AppendOutcome::Kind::kAcked);
  return shard;
}

// The bytes in slices of `slice_bytes`.
grpc::ByteBuffer Sliced(const std::string& bytes, size_t slice_bytes) {
  std::vector<grpc::Slice> slices;
  for (size_t begin = 0; begin < bytes.size(); begin += slice_bytes) {
    slices.emplace_back(bytes.substr(begin, slice_bytes));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

// What protobuf has of a column.
std::string ColumnOfMessage(const proto::Windows& windows, size_t column) {
  const auto* const field =
      proto::Windows::descriptor()->FindFieldByName(std::string(kColumns[column].name));
  if (field == nullptr) return "";
  std::string unused;
  return windows.GetReflection()->GetStringReference(windows, field, &unused);
}

void CompareReaders(const std::string& bytes, size_t slice_bytes) {
  proto::SampleReply reply;
  const bool is_message = reply.ParseFromString(bytes);
  const auto reader = SampleReplyReader::Parse(Sliced(bytes, slice_bytes));
  // Of bytes that are no message, protobuf may refuse more: tags that are longer than need be.
  if (!is_message) return;
  POMPC_CHECK_OK(reader.status());
  POMPC_CHECK_EQ(reader->rest().windows().count(), reply.windows().count());
  POMPC_CHECK_EQ(reader->rest().windows().horizon(), reply.windows().horizon());
  POMPC_CHECK_EQ(reader->rest().info().SerializeAsString(), reply.info().SerializeAsString());
  for (size_t c = 0; c < kNumColumns; ++c) {
    std::string column(reader->bytes(c), '\0');
    reader->CopyTo(c, reinterpret_cast<std::byte*>(column.data()));
    POMPC_CHECK(column == ColumnOfMessage(reply.windows(), c), kColumns[c].name);
  }
}

void Request(Shard* shard, const std::string& bytes, size_t slice_bytes) {
  proto::SampleRequest request;
  if (!request.ParseFromString(bytes)) return;
  const TableOptions table = {kSpec, kHorizon, 64, uint64_t{1} << 20};
  const uint32_t count = request.count();
  if (!CheckWindowCount(count, table).ok()) return;
  // Larger replies take longer and are made in the same way.
  if (count > 1000) return;
  SampleReplyWriter writer(kSpec, kHorizon, count);
  POMPC_CHECK_OK(shard->Sample(request.seed(), writer.columns()));
  proto::SampleReply rest;
  rest.mutable_info()->set_windows(shard->counts().windows);
  const grpc::ByteBuffer message = std::move(writer).Finish(rest);
  const auto batch = WindowBatch::Parse(message, kSpec, count, kHorizon);
  POMPC_CHECK_OK(batch.status());
  for (const float reward : batch->Numbers<float>("rewards")) POMPC_CHECK_LE(reward, 0);
  grpc::Slice whole;
  POMPC_CHECK(message.DumpToSingleSlice(&whole).ok());
  CompareReaders(std::string(reinterpret_cast<const char*>(whole.begin()), whole.size()),
                 slice_bytes);
}

}  // namespace

// Has the name of C in any namespace.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Shard* const shard = FullShard().release();
  pompc::ByteSource input(data, size);
  const bool request = input.Below(2) == 0;
  const size_t slice_bytes = 1 + input.Number<uint8_t>();
  const std::string bytes(input.Rest());
  if (request) {
    Request(shard, bytes, slice_bytes);
  } else {
    CompareReaders(bytes, slice_bytes);
  }
  return 0;
}

}  // namespace pompc::replay
