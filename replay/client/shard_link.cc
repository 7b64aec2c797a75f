#include "replay/client/shard_link.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/retry.h"
#include "common/rpc/message_size.h"
#include "common/rpc/wire.h"

namespace pompc::replay {
namespace {

uint32_t ChunkRows(const TrajectoryWriterOptions& options) {
  return static_cast<uint32_t>(
      rpc::ItemsPerRequest(ChunkRowBytes(options.spec), options.chunk_rows));
}

}  // namespace

ShardLink::ShardLink(const TrajectoryWriterOptions& options, uint32_t shard)
    : options_(options),
      shard_(shard),
      chunk_rows_(ChunkRows(options)),
      header_(rpc::MakeHeader(options.run_id)),
      backoff_(options.backoff, options.seed + shard) {
  for (uint32_t e = 0; e < options.shard_of_environment.size(); ++e) {
    if (options.shard_of_environment[e] != shard) continue;
    environments_.emplace(e, Environment{Outbox(options.spec, options.max_unacked_rows)});
  }
}

bool ShardLink::OnAdded(uint32_t index, absl::Duration now) {
  return Enqueue(index, &environments_.at(index), now);
}

bool ShardLink::WantsRow(uint32_t environment) const {
  // The environment then calls Append, which returns the error.
  if (!broken_.ok()) return true;
  const Outbox& rows = outbox(environment);
  // While the shard holds rows back, no more than one chunk is kept ready: rows that are made later
  // come from a newer policy.
  return rows.HasRoom() && (blocked_.empty() || rows.unacked() < chunk_rows_);
}

// Puts an environment where it belongs: a chunk is ready, or less than one waits for its time.
bool ShardLink::Enqueue(uint32_t index, Environment* environment, absl::Duration now) {
  if (environment->ready) return false;
  if (environment->outbox.HasChunk(chunk_rows_, environment->flush)) {
    environment->ready = true;
    ready_.push_back(index);
    return true;
  }
  if (environment->partial || !environment->outbox.HasChunk(1, true)) return false;
  // All partial chunks wait equally long, so the queue is in the order of their deadlines.
  environment->partial = true;
  partial_.emplace_back(now + options_.flush_after, index);
  return true;
}

// Makes the queues true again: partial chunks whose time has come are ready, and what was refused
// or acknowledged meanwhile no longer is.
void ShardLink::UpdateQueues(absl::Duration now) {
  while (!partial_.empty() && partial_.front().first <= now) {
    const uint32_t index = partial_.front().second;
    partial_.pop_front();
    Environment& environment = environments_.at(index);
    environment.partial = false;
    environment.flush = environment.outbox.HasChunk(1, true);
    Enqueue(index, &environment, now);
  }
  while (!ready_.empty()) {
    const uint32_t index = ready_.front();
    Environment& environment = environments_.at(index);
    if (environment.outbox.HasChunk(chunk_rows_, environment.flush)) return;
    ready_.pop_front();
    environment.ready = false;
    environment.flush = false;
    Enqueue(index, &environment, now);
  }
}

void ShardLink::FlushNow() {
  for (auto& [index, environment] : environments_) {
    if (!environment.outbox.HasChunk(1, true)) continue;
    environment.flush = true;
    Enqueue(index, &environment, absl::ZeroDuration());
  }
}

ShardLink::Action ShardLink::Poll(absl::Duration now) {
  UpdateQueues(now);
  if (state_ == State::kCancelled || !broken_.ok()) return Action::kNone;
  if (state_ == State::kClosed) {
    return !ready_.empty() && now >= retry_at_ ? Action::kOpen : Action::kNone;
  }
  // Either way the stream is cancelled, and when it has ended the next one is opened without a
  // pause. Only a stuck stream leaves an error, which those who wait are told.
  if (IsStuck(now)) {
    last_error_ = absl::UnavailableError("no answer to what was sent");
    state_ = State::kCancelled;
  } else if (now >= opened_at_ + options_.stream_max_age) {
    state_ = State::kCancelled;
  }
  if (state_ == State::kCancelled) return Action::kCancel;
  return !ready_.empty() && !writing_ ? Action::kWrite : Action::kNone;
}

bool ShardLink::IsStuck(absl::Duration now) {
  if (!blocked_.empty() || now < progress_at_ + options_.progress_timeout) return false;
  // Silence is a problem only if an answer is due. If none is, the time starts again; otherwise
  // this deadline would wake the thread again and again.
  const bool owed =
      writing_ || std::any_of(environments_.begin(), environments_.end(),
                              [](const auto& entry) { return entry.second.outbox.AwaitsReply(); });
  progress_at_ = now;
  return owed;
}

absl::Duration ShardLink::NextDeadline() const {
  if (state_ == State::kCancelled || !broken_.ok()) return absl::InfiniteDuration();
  const absl::Duration next = partial_.empty() ? absl::InfiniteDuration() : partial_.front().first;
  if (state_ == State::kClosed) return ready_.empty() ? next : std::min(next, retry_at_);
  const absl::Duration stuck_at =
      blocked_.empty() ? progress_at_ + options_.progress_timeout : absl::InfiniteDuration();
  return std::min({next, stuck_at, opened_at_ + options_.stream_max_age});
}

void ShardLink::OnOpened(absl::Duration now) {
  POMPC_CHECK(state_ == State::kClosed, "one stream at a time");
  state_ = State::kOpen;
  opened_at_ = now;
  progress_at_ = now;
  ++stats_.opened_streams;
}

void ShardLink::NextChunk(absl::Duration now, proto::AppendRequest* request) {
  POMPC_CHECK(state_ == State::kOpen && !writing_ && !ready_.empty(), "Poll did not return kWrite");
  const uint32_t index = ready_.front();
  ready_.pop_front();
  Environment& environment = environments_.at(index);
  environment.ready = false;
  *request->mutable_header() = header_;
  proto::StreamId* stream = request->mutable_stream();
  stream->set_actor_index(options_.actor_index);
  stream->set_incarnation(options_.incarnation);
  stream->set_environment(index);
  stats_.resent_rows += environment.outbox.FillChunk(chunk_rows_, request);
  writing_ = true;
  progress_at_ = now;
  // A flush lasts until nothing is left. If something is, the environment goes to the end of the
  // queue, so that all of them take turns on the stream.
  environment.flush = environment.flush && environment.outbox.HasChunk(1, true);
  Enqueue(index, &environment, now);
}

void ShardLink::OnWritten(absl::Duration now) {
  POMPC_CHECK(writing_, "nothing was being written");
  writing_ = false;
  progress_at_ = now;
}

void ShardLink::OnReply(const proto::AppendReply& reply, absl::Duration now) {
  progress_at_ = now;
  answered_ = true;
  blocked_ = reply.blocked();
  last_error_ = absl::OkStatus();
  backoff_.Reset();
  if (!reply.has_stream()) return;
  const auto it = environments_.find(reply.stream().environment());
  if (it == environments_.end()) return;
  OnVerdict(it->first, &it->second, reply);
  Enqueue(it->first, &it->second, now);
}

void ShardLink::OnVerdict(uint32_t index, Environment* environment,
                          const proto::AppendReply& reply) {
  const uint64_t episode = reply.stream().episode();
  const uint32_t segment = reply.stream().segment();
  Outbox& outbox = environment->outbox;
  switch (reply.verdict()) {
    case proto::AppendReply::ACKED:
      OnStored(environment, reply);
      break;
    case proto::AppendReply::GAP:
      if (outbox.OnGap(episode, segment, reply.next_row())) {
        ++stats_.resumed_segments;
        resumed_.push_back(index);
      }
      environment->flush = outbox.HasChunk(1, true);
      break;
    case proto::AppendReply::REFUSED: {
      // The rows before it are stored, of which no other answer may tell.
      OnStored(environment, reply);
      const absl::Status why(static_cast<absl::StatusCode>(reply.code()), reply.message());
      const std::optional<uint32_t> dropped = outbox.OnRefused(episode, segment, why);
      if (!dropped.has_value()) break;
      stats_.dropped_rows += *dropped;
      ++stats_.refused_segments;
      refusals_.push_back({index, why, *dropped});
      break;
    }
    default:
      break;
  }
}

void ShardLink::OnStored(Environment* environment, const proto::AppendReply& reply) {
  Outbox& outbox = environment->outbox;
  // OnAcked counts rows only; the difference in unacked() also counts the ends of episodes.
  const uint32_t unacked = outbox.unacked();
  stats_.acked_rows += outbox.OnAcked(reply.stream().episode(), reply.stream().segment(),
                                      reply.next_row(), reply.ended());
  POMPC_CHECK_LE(outbox.unacked(), unacked);
  environment->acknowledged += unacked - outbox.unacked();
}

void ShardLink::OnEnded(const absl::Status& status, absl::Duration now) {
  const bool meant = state_ == State::kCancelled;
  state_ = State::kClosed;
  writing_ = false;
  blocked_.clear();
  if (!meant) last_error_ = status.ok() ? absl::UnavailableError("the stream ended") : status;
  // A shard that took rows of this run and now belongs to another has lost its memory, and somebody
  // else was there first: it may come back. One that never took any was named by mistake.
  const bool taken = answered_ && absl::IsFailedPrecondition(status);
  if (!meant && IsLasting(status) && !taken) broken_ = status;
  retry_at_ = meant ? now : now + backoff_.Next();
  for (auto& [index, environment] : environments_) {
    // What was sent without an answer goes out again on the next stream. Partial chunks do not wait
    // a second time.
    environment.outbox.OnDisconnected();
    environment.flush = environment.outbox.HasChunk(1, true);
    Enqueue(index, &environment, now);
  }
}

std::string ShardLink::WaitReason() const { return WaitReasonFor(unacked()); }

std::string ShardLink::WaitReason(uint32_t environment) const {
  return WaitReasonFor(outbox(environment).unacked());
}

std::string ShardLink::WaitReasonFor(uint64_t unacked) const {
  const std::string name = absl::StrCat("replay shard ", shard_);
  if (!broken_.ok()) return absl::StrCat(name, " refused this actor: ", broken_.message());
  if (unacked == 0) return "";
  if (!blocked_.empty()) return absl::StrCat(name, " has stopped reading: ", blocked_);
  if (absl::IsFailedPrecondition(last_error_)) {
    return absl::StrCat(name,
                        " is used by another run and will be retried: ", last_error_.message());
  }
  if (!last_error_.ok()) {
    return absl::StrCat(name, " cannot be reached: ", absl::StatusCodeToString(last_error_.code()),
                        ": ", last_error_.message());
  }
  return absl::StrCat(name, " has not acknowledged ", unacked, " rows yet");
}

uint64_t ShardLink::unacked() const {
  uint64_t sum = 0;
  for (const auto& [index, environment] : environments_) sum += environment.outbox.unacked();
  return sum;
}

}  // namespace pompc::replay
