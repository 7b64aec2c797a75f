#include "replay/service.h"

#include <atomic>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/process/log.h"
#include "common/rpc/call.h"
#include "common/rpc/wire.h"
#include "common/values/float_bytes.h"
#include "common/values/utf8.h"
#include "replay/messages.h"
#include "replay/wire/columns.h"
#include "replay/wire/sample_reply.h"

namespace pompc::replay {

using Kind = AppendOutcome::Kind;

// One Append stream on the server: reads a chunk, gives it to the shard, queues the answer, reads
// the next. Back-pressure is not reading: while the limiter is closed it keeps the one chunk it has
// read, tells the writer why, and resumes when the shard calls OnRoom; while Service::kMaxReplies
// answers are owed (the writer does not read them, or the store is slow) it reads nothing either.
// So a stream holds one chunk at most, no larger than MaxChunkBytes, and about Service::kMaxReplies
// answers. Thread-safe; gRPC calls the On... methods. Keeps itself alive until OnDone.
class AppendReactor : public grpc::ServerBidiReactor<proto::AppendRequest, proto::AppendReply>,
                      public RoomWaiter,
                      public std::enable_shared_from_this<AppendReactor> {
 public:
  // Starts reading. `on_done` is called when the stream is over. `shard` must outlive the stream.
  static std::shared_ptr<AppendReactor> Start(Shard* shard,
                                              std::function<void(AppendReactor*)> on_done);

  // Ends the stream with `status`, after the answer that is being written. Idempotent.
  void End(const absl::Status& status);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void OnRoom() override;

 private:
  AppendReactor(Shard* shard, std::function<void(AppendReactor*)> on_done)
      : shard_(shard), on_done_(std::move(on_done)) {}

  // Gives the chunk in request_ to the shard and sees to its answer; leaves it there if it must
  // wait for room.
  void Process();
  AppendOutcome AppendRequested();
  // False if the chunk is to be tried again at once: room came before the stream began to wait.
  bool BeginWaiting(const absl::Status& why);
  // Answers once the store says that what was appended so far is durable: a gap and a refusal tell
  // of rows before them as well, and answers go out in the order of their chunks.
  void AnswerWhenDurable(const AppendOutcome& outcome);
  // The next chunk may be read.
  void ReadNext();
  // `partial`: the answer is to a part of the chunk in request_, and more comes.
  void QueueReply(proto::AppendReply reply, bool partial) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void QueueBlocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Starts whatever may be started: a write, a read, or the end.
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Shard* const shard_;
  const std::function<void(AppendReactor*)> on_done_;

  // Belong to whoever processes the chunk: one thread at a time.
  proto::AppendRequest request_;
  std::vector<ParameterVersion> versions_;

  Mutex mu_;
  std::shared_ptr<AppendReactor> self_ ABSL_GUARDED_BY(mu_);  // until OnDone
  // Answers to be written; the first one is being written while writing_.
  std::deque<proto::AppendReply> replies_ ABSL_GUARDED_BY(mu_);
  size_t undurable_ ABSL_GUARDED_BY(mu_) = 0;  // chunks whose answer waits for the store
  // The newest answer is a partial one; only messages about being blocked came after it.
  bool partial_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool reading_ ABSL_GUARDED_BY(mu_) = false;      // a read is in progress, or its chunk in process
  bool writer_done_ ABSL_GUARDED_BY(mu_) = false;  // no more chunks come
  bool waiting_ ABSL_GUARDED_BY(mu_) = false;      // for room
  bool room_came_ ABSL_GUARDED_BY(mu_) = false;    // before waiting_ was set
  std::string why_ ABSL_GUARDED_BY(mu_);           // of waiting_
  bool ending_ ABSL_GUARDED_BY(mu_) = false;       // nothing new is started
  bool finished_ ABSL_GUARDED_BY(mu_) = false;     // Finish was called
  absl::Status end_status_ ABSL_GUARDED_BY(mu_);
};

std::shared_ptr<AppendReactor> AppendReactor::Start(Shard* shard,
                                                    std::function<void(AppendReactor*)> on_done) {
  std::shared_ptr<AppendReactor> reactor(new AppendReactor(shard, std::move(on_done)));
  MutexLock lock(&reactor->mu_);
  reactor->self_ = reactor;
  reactor->Advance();
  return reactor;
}

void AppendReactor::End(const absl::Status& status) {
  {
    MutexLock lock(&mu_);
    if (ending_) return;
    ending_ = true;
    end_status_ = status;
    Advance();
  }
  // After ending_ was set: a chunk that begins to wait from now on sees it.
  shard_->StopWaiting(this);
}

void AppendReactor::OnReadDone(bool ok) {
  if (ok) return Process();
  MutexLock lock(&mu_);
  POMPC_CHECK(reading_);
  reading_ = false;
  writer_done_ = true;
  Advance();
}

void AppendReactor::OnWriteDone(bool /*ok*/) {
  MutexLock lock(&mu_);
  POMPC_CHECK(writing_ && !replies_.empty());
  writing_ = false;
  replies_.pop_front();
  Advance();
}

void AppendReactor::OnCancel() { End(absl::CancelledError("the writer has gone")); }

// gRPC touches the reactor no more. It may be the last reference that goes here, and the mutex with
// it, so it must not go while the lock is held.
void AppendReactor::OnDone() {
  on_done_(this);
  std::shared_ptr<AppendReactor> self;  // goes after the lock
  MutexLock lock(&mu_);
  self = std::move(self_);
}

void AppendReactor::OnRoom() {
  {
    MutexLock lock(&mu_);
    room_came_ = !waiting_;
    if (!waiting_) return;
    waiting_ = false;
  }
  Process();
}

void AppendReactor::Process() {
  // The loop ends where the chunk is answered, or where OnRoom will call this again.
  AppendOutcome outcome = AppendRequested();
  while (outcome.kind == Kind::kBlocked) {
    // The part that fitted need not wait for the rest.
    if (outcome.stored > 0) AnswerWhenDurable(outcome);
    if (BeginWaiting(outcome.status)) return;
    outcome = AppendRequested();
  }
  if (outcome.kind == Kind::kFailed) return End(outcome.status);
  AnswerWhenDurable(outcome);
  ReadNext();
}

AppendOutcome AppendReactor::AppendRequested() {
  const auto config = shard_->config();
  if (!config.ok()) return {Kind::kFailed, 0, false, config.status()};
  const absl::Status header = rpc::CheckHeader(request_.header(), (*config)->run_id);
  if (!header.ok()) return {Kind::kFailed, 0, false, header};
  // What a stream holds is bounded by what the largest chunk needs, whatever a message may hold.
  if (absl::Status status = CheckChunkBytes(**config, request_); !status.ok()) {
    const SegmentId segment = ToSegmentId(request_.stream());
    proto::AppendRequest small;
    *small.mutable_stream() = request_.stream();
    request_ = std::move(small);
    return shard_->Refuse(segment, status);
  }
  const absl::StatusOr<RowView> rows = ViewOf(request_.rows(), &versions_);
  if (!rows.ok()) return shard_->Refuse(ToSegmentId(request_.stream()), rows.status());
  return shard_->Append(ToSegmentId(request_.stream()), request_.first_row(), *rows,
                        shared_from_this());
}

bool AppendReactor::BeginWaiting(const absl::Status& why) {
  {
    MutexLock lock(&mu_);
    if (room_came_) {
      room_came_ = false;
      return false;
    }
    POMPC_CHECK(!waiting_, "the stream waits with one chunk at a time");
    if (!ending_) {
      waiting_ = true;
      why_ = std::string(why.message());
      QueueBlocked();
      Advance();
      return true;
    }
  }
  // The stream ended while the shard enrolled it: nobody would withdraw the waiter any more.
  shard_->StopWaiting(this);
  return true;
}

void AppendReactor::AnswerWhenDurable(const AppendOutcome& outcome) {
  {
    MutexLock lock(&mu_);
    ++undurable_;
  }
  shard_->WhenDurable([self = shared_from_this(), partial = outcome.kind == Kind::kBlocked,
                       reply = ToReply(request_.stream(), outcome)](const absl::Status& status) {
    if (!status.ok()) return self->End(status);
    MutexLock lock(&self->mu_);
    POMPC_CHECK_GT(self->undurable_, 0u, "the store called back twice");
    --self->undurable_;
    self->QueueReply(reply, partial);
    self->Advance();
  });
}

void AppendReactor::ReadNext() {
  MutexLock lock(&mu_);
  POMPC_CHECK(reading_ && !waiting_, "the chunk was not in process");
  reading_ = false;
  Advance();
}

// What is queued of a part of a chunk is replaced by what comes of the rest: a chunk that is stored
// row by row owes no more answers than one that is stored at once.
void AppendReactor::QueueReply(proto::AppendReply reply, bool partial) {
  if (waiting_) reply.set_blocked(why_);
  const size_t writing = writing_ ? 1 : 0;
  if (partial_ && replies_.size() > writing) replies_.pop_back();
  partial_ = partial;
  replies_.push_back(std::move(reply));
}

// One message about being blocked stands in the queue at most, however often the reason changes.
void AppendReactor::QueueBlocked() {
  const size_t writing = writing_ ? 1 : 0;
  const bool alone = replies_.size() == writing;
  if (alone || (replies_.back().has_stream() && !partial_)) replies_.emplace_back();
  replies_.back().set_blocked(why_);
}

void AppendReactor::Advance() {
  if (finished_) return;
  if (!ending_ && !writing_ && !replies_.empty()) {
    writing_ = true;
    StartWrite(&replies_.front());
  }
  // A writer that has sent its last chunk still waits for the answers to it.
  const bool all_answered = writer_done_ && replies_.empty() && undurable_ == 0;
  if (ending_ || all_answered) {
    if (writing_) return;
    finished_ = true;
    Finish(rpc::ToGrpc(end_status_));
    return;
  }
  if (!reading_ && !writer_done_ && replies_.size() + undurable_ < Service::kMaxReplies) {
    reading_ = true;
    StartRead(&request_);
  }
}

namespace {

// A call that is answered once what was appended before is durable. A store that cannot write may
// never say so: then the call ends when its client has gone or the server stops, which cancels it.
// Keeps itself alive until OnDone.
class DurableReactor : public grpc::ServerUnaryReactor,
                       public std::enable_shared_from_this<DurableReactor> {
 public:
  static DurableReactor* Start(Shard* shard) {
    auto reactor = std::make_shared<DurableReactor>();
    reactor->self_ = reactor;
    shard->WhenDurable([reactor](const absl::Status& durable) { reactor->End(durable); });
    return reactor.get();
  }

  void OnCancel() override {
    End(absl::CancelledError("the call ended before its rows were durable"));
  }
  void OnDone() override {
    // The last reference may be this one.
    const std::shared_ptr<DurableReactor> self = std::move(self_);
  }

 private:
  void End(const absl::Status& status) {
    if (!ended_.exchange(true)) Finish(rpc::ToGrpc(status));
  }

  std::shared_ptr<DurableReactor> self_;
  std::atomic<bool> ended_ = false;
};

absl::Status CheckSpec(const proto::ConfigureRequest& request) {
  POMPC_RETURN_IF_ERROR(rpc::CheckWireVersion(request.header()));
  if (!request.header().run_id().empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("header.run_id is empty");
}

}  // namespace

absl::Status Service::CheckHeader(const proto::Header& header) const {
  POMPC_ASSIGN_OR_RETURN(const auto config, shard_->config());
  return rpc::CheckHeader(header, config->run_id);
}

template <typename Request>
absl::Status Service::CheckLearner(const Request& request) const {
  POMPC_RETURN_IF_ERROR(CheckHeader(request.header()));
  if (!request.has_learner_start()) return shard_->CheckMayChange(std::nullopt);
  return shard_->CheckMayChange(ToLearnerStart(request.learner_start()));
}

void Service::FillInfo(proto::ShardInfo* info) const {
  *info = ToShardInfo(*shard_);
  info->set_streams(static_cast<uint32_t>(streams()));
}

grpc::ServerUnaryReactor* Service::Configure(grpc::CallbackServerContext* context,
                                             const proto::ConfigureRequest* request,
                                             proto::ShardInfo* reply) {
  absl::Status status = CheckSpec(*request);
  if (status.ok()) status = shard_->Configure(ToShardConfig(*request));
  if (status.ok()) {
    FillInfo(reply);
    SetLogContext({.run = request->header().run_id()});
  }
  return rpc::FinishUnary(context, status);
}

grpc::ServerBidiReactor<proto::AppendRequest, proto::AppendReply>* Service::Append(
    grpc::CallbackServerContext* /*context*/) {
  const std::shared_ptr<AppendReactor> stream =
      AppendReactor::Start(shard_, [this](AppendReactor* done) {
        MutexLock lock(&mu_);
        streams_.erase(done);
      });
  MutexLock lock(&mu_);
  streams_.emplace(stream.get(), stream);
  // A stream that cannot be served is ended like any other, once it exists: only a reactor can
  // carry a status to the client.
  if (draining_) {
    stream->End(absl::UnavailableError("the shard is stopping"));
  } else if (streams_.size() > max_streams_) {
    stream->End(absl::ResourceExhaustedError(
        absl::StrCat("the shard serves ", max_streams_, " streams already, the most it does")));
  }
  return stream.get();
}

grpc::ServerUnaryReactor* Service::Sample(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* reply) {
  return rpc::FinishUnary(context, DoSample(*request, reply));
}

absl::Status Service::DoSample(const grpc::ByteBuffer& bytes, grpc::ByteBuffer* reply) {
  POMPC_ASSIGN_OR_RETURN(const auto request, rpc::ParseMessage<proto::SampleRequest>(bytes));
  POMPC_RETURN_IF_ERROR(CheckHeader(request.header()));
  POMPC_ASSIGN_OR_RETURN(const auto config, shard_->config());
  const TableOptions& table = config->table;
  POMPC_RETURN_IF_ERROR(CheckWindowCount(request.count(), table));
  SampleReplyWriter writer(table.spec, table.horizon, request.count());
  POMPC_RETURN_IF_ERROR(shard_->Sample(request.seed(), writer.columns(), request.table()));
  proto::SampleReply rest;
  FillInfo(rest.mutable_info());
  *reply = std::move(writer).Finish(rest);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* Service::UpdatePlans(grpc::CallbackServerContext* context,
                                               const proto::UpdatePlansRequest* request,
                                               proto::UpdatePlansReply* reply) {
  return rpc::FinishUnary(context, DoUpdatePlans(*request, reply));
}

absl::Status Service::DoUpdatePlans(const proto::UpdatePlansRequest& request,
                                    proto::UpdatePlansReply* reply) {
  POMPC_RETURN_IF_ERROR(CheckLearner(request));
  POMPC_ASSIGN_OR_RETURN(const auto config, shard_->config());
  const size_t rows = request.count(), numbers = rows * config->table.spec.action_size;
  POMPC_RETURN_IF_ERROR(CheckByteCount(request.addresses(), rows, sizeof(uint64_t), "addresses"));
  POMPC_RETURN_IF_ERROR(CheckByteCount(request.plan_mean(), numbers, sizeof(float), "plan_mean"));
  POMPC_RETURN_IF_ERROR(CheckByteCount(request.plan_std(), numbers, sizeof(float), "plan_std"));
  POMPC_ASSIGN_OR_RETURN(
      const Table::UpdateCounts counts,
      shard_->UpdatePlans(ToOpening(request.shard_incarnation(), request.opening()),
                          NumbersIn<uint64_t>(request.addresses()),
                          NumbersIn<float>(request.plan_mean()),
                          NumbersIn<float>(request.plan_std())));
  reply->set_updated(counts.updated);
  reply->set_evicted(counts.evicted);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* Service::UpdatePriorities(grpc::CallbackServerContext* context,
                                                    const proto::UpdatePrioritiesRequest* request,
                                                    proto::UpdatePrioritiesReply* reply) {
  return rpc::FinishUnary(context, DoUpdatePriorities(*request, reply));
}

absl::Status Service::DoUpdatePriorities(const proto::UpdatePrioritiesRequest& request,
                                         proto::UpdatePrioritiesReply* reply) {
  POMPC_RETURN_IF_ERROR(CheckLearner(request));
  const size_t windows = request.count();
  POMPC_RETURN_IF_ERROR(
      CheckByteCount(request.addresses(), windows, sizeof(uint64_t), "addresses"));
  POMPC_RETURN_IF_ERROR(CheckByteCount(request.priorities(), windows, sizeof(float), "priorities"));
  POMPC_ASSIGN_OR_RETURN(
      const Table::PriorityCounts counts,
      shard_->UpdatePriorities(ToOpening(request.shard_incarnation(), request.opening()),
                               request.table(), NumbersIn<uint64_t>(request.addresses()),
                               NumbersIn<float>(request.priorities())));
  reply->set_updated(counts.updated);
  reply->set_gone(counts.gone);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* Service::BarWindows(grpc::CallbackServerContext* context,
                                              const proto::BarWindowsRequest* request,
                                              proto::BarWindowsReply* reply) {
  return rpc::FinishUnary(context, DoBarWindows(*request, reply));
}

absl::Status Service::DoBarWindows(const proto::BarWindowsRequest& request,
                                   proto::BarWindowsReply* reply) {
  POMPC_RETURN_IF_ERROR(CheckLearner(request));
  POMPC_RETURN_IF_ERROR(
      CheckByteCount(request.addresses(), request.count(), sizeof(uint64_t), "addresses"));
  POMPC_ASSIGN_OR_RETURN(
      const uint32_t barred,
      shard_->BarWindows(ToOpening(request.shard_incarnation(), request.opening()),
                         NumbersIn<uint64_t>(request.addresses())));
  reply->set_barred(barred);
  reply->set_gone(request.count() - barred);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* Service::Grant(grpc::CallbackServerContext* context,
                                         const proto::GrantRequest* request,
                                         proto::ShardInfo* reply) {
  absl::Status status = CheckHeader(request->header());
  absl::StatusOr<RowGrant> grant = ToRowGrant(*request);
  status.Update(grant.status());
  if (status.ok()) {
    status = shard_->Grant(*std::move(grant), ToLearnerStart(request->learner_start()));
  }
  if (status.ok()) FillInfo(reply);
  return rpc::FinishUnary(context, status);
}

grpc::ServerUnaryReactor* Service::Info(grpc::CallbackServerContext* context,
                                        const proto::InfoRequest* request,
                                        proto::ShardInfo* reply) {
  const bool loading = shard_->counts().loaded < 1;
  const absl::Status status = loading ? absl::OkStatus() : CheckHeader(request->header());
  if (status.ok()) FillInfo(reply);
  return rpc::FinishUnary(context, status);
}

grpc::ServerUnaryReactor* Service::Describe(grpc::CallbackServerContext* context,
                                            const proto::DescribeRequest* request,
                                            proto::ShardDescription* reply) {
  return rpc::FinishUnary(context, DoDescribe(*request), reply);
}

absl::StatusOr<proto::ShardDescription> Service::DoDescribe(
    const proto::DescribeRequest& request) const {
  POMPC_ASSIGN_OR_RETURN(const auto config, shard_->config());
  POMPC_RETURN_IF_ERROR(rpc::CheckOpenHeader(request.header(), config->run_id));
  proto::ShardDescription description = ToShardDescription(*config, shard_->counts());
  FillInfo(description.mutable_info());
  return description;
}

grpc::ServerUnaryReactor* Service::ReadRows(grpc::CallbackServerContext* context,
                                            const proto::ReadRowsRequest* request,
                                            proto::ReadRowsReply* reply) {
  absl::StatusOr<proto::ReadRowsReply> rows = DoReadRows(*request);
  // Rows are bytes, in which there is no text to be made readable.
  if (rows.ok()) *reply = *std::move(rows);
  return rpc::FinishUnary(context, rows.status());
}

absl::StatusOr<proto::ReadRowsReply> Service::DoReadRows(
    const proto::ReadRowsRequest& request) const {
  POMPC_RETURN_IF_ERROR(CheckHeader(request.header()));
  return ReadStoredRows(*shard_, request);
}

grpc::ServerUnaryReactor* Service::ImportRows(grpc::CallbackServerContext* context,
                                              const proto::ImportRowsRequest* request,
                                              proto::ImportRowsReply* reply) {
  const absl::Status status = DoImportRows(*request, reply);
  if (!status.ok()) return rpc::FinishUnary(context, status);
  return DurableReactor::Start(shard_);
}

absl::Status Service::DoImportRows(const proto::ImportRowsRequest& request,
                                   proto::ImportRowsReply* reply) {
  POMPC_RETURN_IF_ERROR(CheckHeader(request.header()));
  std::vector<ParameterVersion> versions;
  for (const proto::ImportedRows& chunk : request.chunks()) {
    POMPC_ASSIGN_OR_RETURN(RowView rows, ViewOf(chunk.rows(), &versions));
    // A version of another run would be taken for one of this run's.
    versions.assign(rows.count, ParameterVersion());
    rows.Set<ParameterVersion>("versions", versions);
    const AppendOutcome outcome =
        shard_->Import(request.data_set(), chunk.episode(), chunk.first_row(), rows);
    const std::string where = absl::StrCat("episode ", chunk.episode(), " of the data set");
    if (outcome.kind == Kind::kGap) {
      return absl::FailedPreconditionError(absl::StrCat(where, ": rows from ", outcome.next_row,
                                                        " to ", chunk.first_row(), " are missing"));
    }
    if (outcome.kind != Kind::kAcked) return Annotate(outcome.status, where);
  }
  POMPC_ASSIGN_OR_RETURN(const ImportPosition position, shard_->Imported(request.data_set()));
  if (position.episode.has_value()) reply->set_episode(*position.episode);
  reply->set_next_row(position.next_row);
  reply->set_ended(position.ended);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* Service::Snapshot(grpc::CallbackServerContext* context,
                                            const proto::SnapshotRequest* request,
                                            proto::SnapshotReply* reply) {
  return snapshots_.Start(context, [this, request, reply] { return DoSnapshot(*request, reply); });
}

absl::Status Service::DoSnapshot(const proto::SnapshotRequest& request,
                                 proto::SnapshotReply* reply) {
  POMPC_RETURN_IF_ERROR(CheckHeader(request.header()));
  POMPC_ASSIGN_OR_RETURN(const std::string folder, shard_->Snapshot(request.name()));
  Log().info("a snapshot of the rows is in {}", folder);
  reply->set_folder(ToUtf8(folder));
  return absl::OkStatus();
}

void Service::Drain() {
  std::vector<std::shared_ptr<AppendReactor>> streams;
  {
    MutexLock lock(&mu_);
    draining_ = true;
    // Ending a stream calls back into this object, which takes the lock: hence the copy.
    for (const auto& [raw, stream] : streams_) streams.push_back(stream.lock());
  }
  for (const std::shared_ptr<AppendReactor>& stream : streams) {
    if (stream != nullptr) stream->End(absl::UnavailableError("the shard is stopping"));
  }
}

size_t Service::streams() const {
  MutexLock lock(&mu_);
  return streams_.size();
}

}  // namespace pompc::replay
