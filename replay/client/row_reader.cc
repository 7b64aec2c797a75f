#include "replay/client/row_reader.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rpc/call.h"
#include "common/rpc/wire.h"
#include "grpcpp/channel.h"
#include "proto/replay.grpc.pb.h"
#include "replay/wire/columns.h"

namespace pompc::replay {
namespace {

// Rows asked for at once; the shard gives fewer where they are large.
constexpr uint32_t kRowsAtOnce = 65536;

// Leaves the rows at the first `room` addresses. The final observation has the address behind the
// last row. Columns that were not requested are empty.
void CutOff(const RowSpec& spec, uint64_t room, RowView* rows) {
  if (rows->count < room) return;
  rows->count = static_cast<uint32_t>(room);
  rows->final_observation = {};
  for (size_t c = 0; c < kRowColumns; ++c) {
    std::span<const std::byte>& numbers = rows->columns[c];
    if (!numbers.empty()) numbers = numbers.first(room * kColumns[c].bytes(spec));
  }
}

}  // namespace

class RowReader::Calls {
 public:
  Calls(std::shared_ptr<grpc::Channel> channel, absl::Duration timeout)
      : stub_(proto::ReplayService::NewStub(std::move(channel))), timeout_(timeout) {}

  absl::StatusOr<proto::ShardDescription> Describe() {
    // Which run the shard serves is what the answer tells.
    proto::DescribeRequest request;
    *request.mutable_header() = rpc::MakeHeader("");
    return rpc::CallUnary(*stub_, &proto::ReplayService::Stub::Describe, request, timeout_);
  }
  absl::StatusOr<proto::ReadRowsReply> ReadRows(const proto::ReadRowsRequest& request) {
    return rpc::CallUnary(*stub_, &proto::ReplayService::Stub::ReadRows, request, timeout_);
  }
  absl::StatusOr<proto::SnapshotReply> Snapshot(const proto::SnapshotRequest& request) {
    return rpc::CallUnary(*stub_, &proto::ReplayService::Stub::Snapshot, request, kSnapshotTimeout);
  }

 private:
  const std::unique_ptr<proto::ReplayService::Stub> stub_;
  const absl::Duration timeout_;
};

RowReader::RowReader(rpc::Endpoint endpoint, std::unique_ptr<Calls> calls)
    : endpoint_(std::move(endpoint)), calls_(std::move(calls)) {}
RowReader::~RowReader() = default;

absl::StatusOr<std::unique_ptr<RowReader>> RowReader::Connect(const rpc::Endpoint& shard,
                                                              absl::Duration timeout) {
  std::unique_ptr<RowReader> reader(
      new RowReader(shard, std::make_unique<Calls>(shard.Channel(), timeout)));
  absl::StatusOr<proto::ShardDescription> description = reader->calls_->Describe();
  if (!description.ok()) {
    return Annotate(description.status(), absl::StrCat("replay shard at ", shard.address()));
  }
  reader->description_ = *std::move(description);
  return reader;
}

RowSpec RowReader::spec() const {
  return {description_.spec().observation_size(), description_.spec().action_size()};
}

absl::StatusOr<std::string> RowReader::Snapshot(const std::string& name) {
  proto::SnapshotRequest request;
  *request.mutable_header() = rpc::MakeHeader(description_.run_id());
  request.set_name(name);
  const absl::StatusOr<proto::SnapshotReply> reply = calls_->Snapshot(request);
  if (reply.ok()) return reply->folder();
  return Annotate(reply.status(), absl::StrCat("replay shard at ", endpoint_.address()));
}

absl::Status RowReader::Read(const RowSelection& selection, const Visitor& visit) {
  proto::ReadRowsRequest request;
  *request.mutable_header() = rpc::MakeHeader(description_.run_id());
  request.set_max_rows(kRowsAtOnce);
  request.set_all_columns(selection.all_columns);
  if (selection.actor_index) request.set_actor_index(*selection.actor_index);
  if (selection.environment) request.set_environment(*selection.environment);
  if (selection.episode) request.set_episode(*selection.episode);
  uint64_t next = selection.from;
  // Rows that come while these are read would keep the reader busy for ever.
  std::optional<uint64_t> end;
  // An answer may have no run at all, where nothing of what it looked at is selected.
  while (next < std::min(selection.to, end.value_or(selection.to))) {
    request.set_address(next);
    absl::StatusOr<proto::ReadRowsReply> reply = calls_->ReadRows(request);
    if (!reply.ok()) {
      return Annotate(reply.status(), absl::StrCat("replay shard at ", endpoint_.address()));
    }
    if (!end.has_value()) end = reply->end_address();
    POMPC_ASSIGN_OR_RETURN(const bool more, Visit(*reply, selection, visit));
    if (!more) return absl::OkStatus();
    if (reply->next_address() <= next && next < *end) {
      return absl::DataLossError(absl::StrCat("replay shard at ", endpoint_.address(),
                                              " does not get past address ", next));
    }
    next = reply->next_address();
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> RowReader::Visit(const proto::ReadRowsReply& reply,
                                      const RowSelection& selection, const Visitor& visit) const {
  std::vector<ParameterVersion> versions;
  for (const proto::StoredRows& stored : reply.runs()) {
    const proto::StreamId& id = stored.stream();
    RowRun run{.segment = {id.actor_index(), id.incarnation(), id.environment(), id.episode(),
                           id.segment()},
               .first_row = stored.first_row(),
               .address = stored.address()};
    if (run.address >= selection.to) return false;
    POMPC_ASSIGN_OR_RETURN(run.rows, ViewOf(stored.rows(), &versions));
    // Behind this the columns are read without looking.
    for (size_t c = 0; c < kRowColumns; ++c) {
      const uint64_t have = run.rows.columns[c].size();
      const bool left_out = !selection.all_columns && have == 0;
      if (left_out || have == run.rows.count * kColumns[c].bytes(spec())) continue;
      return absl::DataLossError(absl::StrCat("rows from replay: column ", kColumns[c].name,
                                              " has ", have, " bytes for ", run.rows.count,
                                              " rows"));
    }
    CutOff(spec(), selection.to - run.address, &run.rows);
    POMPC_ASSIGN_OR_RETURN(const bool more, visit(run));
    if (!more) return false;
  }
  return true;
}

}  // namespace pompc::replay
