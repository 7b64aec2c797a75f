// Append requests: any bytes, and chunks that are valid but for what the input changes in them,
// given to one shard in any order, with draws, new plans and bars in between. Whatever comes, the
// shard refuses or stores it, its counts agree, and what it draws is what rows may hold.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/values/number_check.h"
#include "proto/replay.pb.h"
#include "replay/core/shard.h"
#include "replay/wire/columns.h"
#include "tests/fuzz/byte_source.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

constexpr RowSpec kSpec{.observation_size = 2, .action_size = 1};
constexpr uint32_t kHorizon = 2;
constexpr uint32_t kChunkRows = 8;
constexpr uint32_t kWindows = 4;

class NoWaiter : public RoomWaiter {
 public:
  void OnRoom() override {}
};

class Session {
 public:
  explicit Session(ByteSource input) : input_(input) {
    ShardConfig config;
    config.run_id = "run";
    config.table = {kSpec, kHorizon, 24, uint64_t{1} << 20};
    config.chunk_rows = kChunkRows;
    POMPC_CHECK_OK(shard_.Configure(config));
    Grant();
  }

  void Run() {
    while (!input_.empty()) {
      switch (input_.Below(8)) {
        case 0:
          AppendBytes();
          break;
        case 1:
          Grant();
          break;
        case 2:
          UpdatePlans();
          break;
        case 3:
          Bar();
          break;
        case 4:
          Draw();
          break;
        default:
          AppendChunk();
          break;
      }
      CheckCounts();
    }
  }

 private:
  // The bytes of a request as they might come from anybody.
  void AppendBytes() {
    proto::AppendRequest request;
    const absl::string_view bytes = input_.Bytes(input_.Number<uint16_t>() % 4096);
    if (request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) Append(request);
  }

  // A chunk of a few segments, with a number or a size spoiled now and then.
  void AppendChunk() {
    proto::AppendRequest request;
    proto::StreamId* const stream = request.mutable_stream();
    stream->set_incarnation(input_.Below(3));
    stream->set_environment(input_.Below(2));
    stream->set_episode(input_.Below(4));
    request.set_first_row(input_.Below(16));
    RowBuilder rows(kSpec);
    rows.AddMany(request.first_row(), input_.Below(kChunkRows + 1), input_.Below(8) != 0);
    if (input_.Below(4) == 0 && !rows.rewards_.empty()) rows.Terminal();
    if (input_.Below(4) == 0) rows.Final(request.first_row() + 7);
    if (!rows.rewards_.empty()) Spoil(&rows);
    FillRows(rows.View(), request.mutable_rows());
    Append(request);
  }

  void Spoil(RowBuilder* rows) {
    const size_t i = input_.Below(kChunkRows) % rows->rewards_.size();
    switch (input_.Below(16)) {
      case 0:
        rows->rewards_[i] = input_.Number<float>();
        break;
      case 1:
        rows->actions_[i] = input_.Number<float>();
        break;
      case 2:
        rows->plan_std_[i] = input_.Number<float>();
        break;
      case 3:
        rows->terminated_[i] = input_.Number<uint8_t>();
        break;
      case 4:
        rows->observations_.resize(input_.Below(32));
        break;
      case 5:
        rows->versions_[i] = {input_.Number<uint8_t>(), input_.Number<uint8_t>()};
        break;
      default:
        break;
    }
  }

  void Append(const proto::AppendRequest& request) {
    const auto rows = ViewOf(request.rows(), &versions_);
    const SegmentId segment{.actor_index = request.stream().actor_index(),
                            .incarnation = request.stream().incarnation(),
                            .environment = request.stream().environment(),
                            .episode = request.stream().episode(),
                            .segment = request.stream().segment()};
    if (!rows.ok()) {
      shard_.Refuse(segment, rows.status());
      return;
    }
    const AppendOutcome outcome = shard_.Append(segment, request.first_row(), *rows, waiter_);
    POMPC_CHECK_LE(outcome.stored, request.rows().count());
    if (outcome.kind == AppendOutcome::Kind::kBlocked) shard_.StopWaiting(waiter_.get());
  }

  void Grant() {
    RowGrant grant;
    grant.max_accepted_rows = shard_.counts().accepted_rows + input_.Below(64);
    grant.seed_phase_over = input_.Below(4) == 0;
    if (input_.Below(2) == 0) {
      announced_ = std::max(announced_, input_.Below(64));
      grant.newest_version = ParameterVersion{1, announced_};
    }
    POMPC_CHECK_OK(shard_.Grant(std::move(grant)));
  }

  std::vector<uint64_t> Addresses() {
    std::vector<uint64_t> addresses(input_.Below(4));
    for (uint64_t& address : addresses) {
      address = shard_.counts().next_address - input_.Number<uint8_t>();
    }
    return addresses;
  }

  void UpdatePlans() {
    const std::vector<uint64_t> addresses = Addresses();
    const std::vector<float> mean(addresses.size(), input_.Number<float>());
    const std::vector<float> std(addresses.size(), input_.Number<float>());
    const auto counts = shard_.UpdatePlans(shard_.opening(), addresses, mean, std);
    if (counts.ok()) POMPC_CHECK_LE(counts->updated + counts->evicted, addresses.size());
  }

  void Bar() {
    const std::vector<uint64_t> addresses = Addresses();
    const auto barred = shard_.BarWindows(shard_.opening(), addresses);
    POMPC_CHECK_OK(barred.status());
    POMPC_CHECK_LE(*barred, addresses.size());
  }

  void Draw() {
    const bool any = shard_.counts().windows > 0;
    WindowBuffer buffer(kSpec, kHorizon, kWindows);
    const absl::Status status = shard_.Sample(input_.Number<uint8_t>(), buffer.Columns());
    POMPC_CHECK_EQ(status.ok(), any, status.ToString());
    if (!any) return;
    POMPC_CHECK_OK(CheckMagnitudes("observations", buffer.observations));
    POMPC_CHECK_OK(CheckActions("actions", buffer.actions));
    POMPC_CHECK_OK(CheckMagnitudes("rewards", buffer.rewards));
    const ShardCounts counts = shard_.counts();
    for (const uint64_t address : buffer.addresses) {
      POMPC_CHECK_GE(address, counts.oldest_address);
      POMPC_CHECK_LT(address, counts.next_address);
    }
  }

  void CheckCounts() {
    const ShardCounts counts = shard_.counts();
    POMPC_CHECK_LE(counts.accepted_rows, std::max(bound_, counts.max_accepted_rows));
    bound_ = std::max(bound_, counts.max_accepted_rows);
    POMPC_CHECK_LE(counts.planned_rows, counts.accepted_rows);
    POMPC_CHECK_LE(counts.next_address - counts.oldest_address, counts.capacity_rows);
    POMPC_CHECK_LE(counts.windows + counts.barred_windows, counts.stored_rows);
    POMPC_CHECK_EQ(counts.blocked_writers(), 0u);
  }

  ByteSource input_;
  Shard shard_{1, Clock::Real(), std::make_unique<MemoryStore>()};
  std::shared_ptr<NoWaiter> waiter_ = std::make_shared<NoWaiter>();
  std::vector<ParameterVersion> versions_;
  // Most rows that were ever granted.
  uint64_t bound_ = 0;
  // Number of the newest version that a grant has told of.
  uint32_t announced_ = 0;
};

}  // namespace
}  // namespace pompc::replay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pompc::replay::Session(pompc::ByteSource(data, size)).Run();
  return 0;
}
