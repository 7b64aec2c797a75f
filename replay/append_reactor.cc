#include "replay/append_reactor.h"

#include "common/base/check.h"
#include "common/rpc/status.h"
#include "common/rpc/wire.h"
#include "replay/messages.h"
#include "replay/wire/columns.h"

namespace pompc::replay {

using Kind = AppendOutcome::Kind;

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
    if (!ending_) {
      waiting_ = true;
      why_ = std::string(why.message());
      QueueBlocked();
      Advance();
      return true;
    }
  }
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
  const bool all_answered = writer_done_ && replies_.empty() && undurable_ == 0;
  if (ending_ || all_answered) {
    if (writing_) return;
    finished_ = true;
    Finish(rpc::ToGrpc(end_status_));
    return;
  }
  if (!reading_ && !writer_done_ && replies_.size() + undurable_ < kMaxReplies) {
    reading_ = true;
    StartRead(&request_);
  }
}

}  // namespace pompc::replay
