#include "replay/client/shard_link.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/retry.h"
#include "common/rpc/message_size.h"
#include "common/rpc/wire.h"

namespace pompc::replay {

using State = rpc::Reconnector::State;

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
      stream_({.backoff = options.backoff,
               .seed = options.seed + shard,
               .max_age = options.stream_max_age,
               .progress_timeout = options.progress_timeout}) {
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
  if (!broken_.ok()) return Action::kNone;
  switch (stream_.state()) {
    case State::kGivenUp:
      return Action::kNone;
    case State::kClosed:
      return !ready_.empty() && now >= stream_.retry_at() ? Action::kOpen : Action::kNone;
    case State::kOpen:
      break;
  }
  if (stream_.GivesUp(now, [this] { return AnswerDue(); })) return Action::kCancel;
  return !ready_.empty() && !writing_ ? Action::kWrite : Action::kNone;
}

bool ShardLink::AnswerDue() const {
  if (!blocked_.empty()) return false;
  return writing_ || std::any_of(environments_.begin(), environments_.end(), [](const auto& entry) {
           return entry.second.outbox.AwaitsReply();
         });
}

absl::Duration ShardLink::NextDeadline() const {
  if (stream_.state() == State::kGivenUp || !broken_.ok()) return absl::InfiniteDuration();
  const absl::Duration next = partial_.empty() ? absl::InfiniteDuration() : partial_.front().first;
  if (stream_.state() == State::kClosed) {
    return ready_.empty() ? next : std::min(next, stream_.retry_at());
  }
  return std::min(next, stream_.NextDeadline(/*answer_due=*/blocked_.empty()));
}

void ShardLink::OnOpened(absl::Duration now) {
  stream_.OnOpened(now);
  ++stats_.opened_streams;
}

void ShardLink::NextChunk(absl::Duration now, proto::AppendRequest* request) {
  POMPC_CHECK(stream_.state() == State::kOpen && !writing_ && !ready_.empty(),
              "Poll did not return kWrite");
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
  stream_.OnProgress(now);
  // A flush lasts until nothing is left. If something is, the environment goes to the end of the
  // queue, so that all of them take turns on the stream.
  environment.flush = environment.flush && environment.outbox.HasChunk(1, true);
  Enqueue(index, &environment, now);
}

void ShardLink::OnWritten(absl::Duration now) {
  POMPC_CHECK(writing_, "nothing was being written");
  writing_ = false;
  stream_.OnProgress(now);
}

void ShardLink::OnReply(const proto::AppendReply& reply, absl::Duration now) {
  stream_.OnAnswer(now);
  blocked_ = reply.blocked();
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
  const bool given_up = stream_.state() == State::kGivenUp;
  stream_.OnEnded(status, now).IgnoreError();
  writing_ = false;
  blocked_.clear();
  // A shard that took rows of this run and now belongs to another has lost its memory, and somebody
  // else was there first: it may come back. One that never took any was named by mistake.
  const bool taken = stream_.answered() && absl::IsFailedPrecondition(status);
  if (!given_up && IsLasting(status) && !taken) broken_ = status;
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
  const absl::Status& error = stream_.error();
  if (absl::IsFailedPrecondition(error)) {
    return absl::StrCat(name, " is used by another run and will be retried: ", error.message());
  }
  if (!error.ok()) {
    return absl::StrCat(name, " cannot be reached: ", absl::StatusCodeToString(error.code()), ": ",
                        error.message());
  }
  return absl::StrCat(name, " has not acknowledged ", unacked, " rows yet");
}

uint64_t ShardLink::unacked() const {
  uint64_t sum = 0;
  for (const auto& [index, environment] : environments_) sum += environment.outbox.unacked();
  return sum;
}

}  // namespace pompc::replay
