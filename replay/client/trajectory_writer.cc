#include "replay/client/trajectory_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rpc/client_stream.h"
#include "proto/replay.grpc.pb.h"
#include "replay/client/shard_link.h"

namespace pompc::replay {

absl::Status TrajectoryWriterOptions::Validate() const {
  const auto bad = [](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("trajectory writer: ", what));
  };
  if (run_id.empty()) return bad("run_id is empty");
  if (spec.observation_size == 0 || spec.action_size == 0) return bad("spec has a size of 0");
  if (shards.empty()) return bad("shards is empty");
  if (shard_of_environment.empty()) return bad("shard_of_environment is empty");
  for (const uint32_t shard : shard_of_environment) {
    if (shard >= shards.size()) return bad("shard_of_environment names a shard that is none");
  }
  if (chunk_rows == 0) return bad("chunk_rows is 0");
  if (max_unacked_rows == 0) return bad("max_unacked_rows is 0");
  if (stream_max_age <= absl::ZeroDuration()) return bad("stream_max_age is not positive");
  if (progress_timeout <= absl::ZeroDuration()) return bad("progress_timeout is not positive");
  return absl::OkStatus();
}

using AppendStream = rpc::BidiStream<proto::AppendRequest, proto::AppendReply>;

// One shard's stream, and whether its callbacks allow what is to be done.
struct TrajectoryWriter::Line {
  std::unique_ptr<proto::ReplayService::Stub> stub;
  std::unique_ptr<AppendStream> stream;
  bool closing = false;  // nothing can be written any more
  bool ended = false;    // the stream can be destroyed
};

ShardLink& TrajectoryWriter::LinkOf(uint32_t environment) {
  POMPC_DCHECK_LT(environment, options_.shard_of_environment.size());
  return links_[options_.shard_of_environment[environment]];
}

const ShardLink& TrajectoryWriter::LinkOf(uint32_t environment) const {
  POMPC_DCHECK_LT(environment, options_.shard_of_environment.size());
  return links_[options_.shard_of_environment[environment]];
}

TrajectoryWriter::TrajectoryWriter(TrajectoryWriterOptions options, Clock* clock)
    : options_(std::move(options)), clock_(clock) {
  POMPC_CHECK_OK(options_.Validate());
  for (uint32_t shard = 0; shard < options_.shards.size(); ++shard) {
    links_.emplace_back(options_, shard);
    lines_.emplace_back().stub = proto::ReplayService::NewStub(options_.shards[shard]);
  }
  thread_ = Thread("replay-writer", [this] { Run(); });
}

TrajectoryWriter::~TrajectoryWriter() { Close(); }

// This thread makes every decision (ShardLink) and starts every operation; gRPC's threads only
// bring news and wake it.
void TrajectoryWriter::Run() {
  // Callbacks of options_ run outside the lock, before the thread decides anything: they may ask
  // the writer for room, and what they are told must not be older than the last decision.
  bool done = false;
  while (!done) {
    ReportSegments();
    ReportRoom();
    MutexLock lock(&mu_);
    absl::Duration deadline = absl::InfiniteDuration();
    // One thread drives all shards. A link never blocks, so that a shard which does not answer
    // holds up no other.
    for (uint32_t shard = 0; shard < links_.size(); ++shard) {
      Drive(shard);
      deadline = std::min(deadline, links_[shard].NextDeadline());
    }
    done = closed_ && AllStreamsEnded();
    if (!done && !AnythingToReport()) clock_->WaitUntil(&wake_, &mu_, deadline);
  }
}

void TrajectoryWriter::Drive(uint32_t shard) {
  ShardLink& link = links_[shard];
  Line& line = lines_[shard];
  // A stream is destroyed here and not in its last callback, for gRPC still holds it there.
  if (line.ended) line.stream.reset();
  line.ended = false;
  if (closed_) return;
  for (;;) {
    const absl::Duration now = clock_->Now();
    switch (link.Poll(now)) {
      case ShardLink::Action::kNone:
        return;
      case ShardLink::Action::kOpen:
        link.OnOpened(now);
        OpenStream(shard);
        break;
      case ShardLink::Action::kCancel:
        line.stream->Cancel();
        return;
      case ShardLink::Action::kWrite:
        // gRPC has told that the stream is closing, and the link hears of its end soon: writing now
        // would race with the end.
        if (line.closing) return;
        line.stream->request()->Clear();
        link.NextChunk(now, line.stream->request());
        line.stream->Write();
        break;
    }
  }
}

void TrajectoryWriter::OpenStream(uint32_t shard) {
  Line* const line = &lines_[shard];
  ShardLink* const link = &links_[shard];
  line->closing = false;
  // Every callback does no more than note what happened and wake the thread. They run on gRPC's
  // threads.
  AppendStream::Callbacks callbacks;
  callbacks.on_written = [this, link] {
    MutexLock lock(&mu_);
    link->OnWritten(clock_->Now());
    wake_.Signal();
  };
  callbacks.on_reply = [this, link](const proto::AppendReply& reply) {
    MutexLock lock(&mu_);
    link->OnReply(reply, clock_->Now());
    wake_.Signal();
    room_.SignalAll();
  };
  // No signal: there is nothing to do yet, and on_ended follows and wakes the thread.
  callbacks.on_closing = [this, line] {
    MutexLock lock(&mu_);
    line->closing = true;
  };
  callbacks.on_ended = [this, line, link](const grpc::Status& status) {
    MutexLock lock(&mu_);
    link->OnEnded(rpc::FromGrpc(status), clock_->Now());
    line->ended = true;
    wake_.Signal();
    room_.SignalAll();
  };
  // The link renews the stream before its deadline, which is there in case that the thread hangs.
  line->stream = std::make_unique<AppendStream>(*line->stub->async(),
                                                &proto::ReplayService::Stub::async::Append,
                                                std::move(callbacks), 2 * options_.stream_max_age);
}

bool TrajectoryWriter::AllStreamsEnded() const {
  return std::all_of(lines_.begin(), lines_.end(),
                     [](const Line& line) { return line.stream == nullptr; });
}

bool TrajectoryWriter::AnythingToReport() const {
  for (const ShardLink& link : links_) {
    if (link.HasNews()) return true;
  }
  for (const uint32_t environment : full_) {
    if (LinkOf(environment).WantsRow(environment)) return true;
  }
  return false;
}

// What is reported is taken out under the lock and told without it: the listener may call the
// writer.
void TrajectoryWriter::ReportSegments() {
  std::vector<Refusal> refusals;
  std::vector<uint32_t> resumed;
  {
    MutexLock lock(&mu_);
    for (ShardLink& link : links_) {
      for (Refusal& refusal : link.TakeRefusals()) refusals.push_back(std::move(refusal));
      for (const uint32_t environment : link.TakeResumed()) resumed.push_back(environment);
    }
  }
  if (options_.on_refused != nullptr) {
    for (const Refusal& refusal : refusals) options_.on_refused(refusal);
  }
  if (options_.on_resumed != nullptr) {
    for (const uint32_t environment : resumed) options_.on_resumed(environment);
  }
}

void TrajectoryWriter::ReportRoom() {
  std::vector<uint32_t> environments;
  {
    MutexLock lock(&mu_);
    for (const uint32_t environment : full_) {
      if (LinkOf(environment).WantsRow(environment)) environments.push_back(environment);
    }
    for (const uint32_t environment : environments) full_.erase(environment);
  }
  if (options_.on_room == nullptr) return;
  // An environment is told once for each time that it found no room; whoever asks again is enrolled
  // anew.
  for (const uint32_t environment : environments) options_.on_room(environment);
}

absl::Status TrajectoryWriter::CheckWritable(uint32_t environment) const {
  if (closed_) return absl::CancelledError("the trajectory writer is closed");
  const ShardLink& link = LinkOf(environment);
  POMPC_RETURN_IF_ERROR(link.broken());
  return link.outbox(environment).CheckOpen();
}

void TrajectoryWriter::BeginEpisode(uint32_t environment) {
  MutexLock lock(&mu_);
  LinkOf(environment).outbox(environment).BeginEpisode();
  if (LinkOf(environment).OnAdded(environment, clock_->Now())) wake_.Signal();
}

absl::Status TrajectoryWriter::Append(uint32_t environment, const RowView& row,
                                      absl::Duration timeout) {
  // The row is checked before the lock is taken: it costs as much as the copy.
  POMPC_RETURN_IF_ERROR(CheckRow(options_.spec, row));
  const absl::Duration deadline = clock_->Now() + timeout;
  MutexLock lock(&mu_);
  ShardLink& link = LinkOf(environment);
  POMPC_RETURN_IF_ERROR(CheckWritable(environment));
  POMPC_RETURN_IF_ERROR(link.outbox(environment).CheckTakesRows());
  while (!link.outbox(environment).HasRoom()) {
    if (clock_->Now() >= deadline) {
      return absl::DeadlineExceededError(link.WaitReason(environment));
    }
    // While it waited, the episode may have been refused or the writer closed.
    clock_->WaitUntil(&room_, &mu_, deadline);
    POMPC_RETURN_IF_ERROR(CheckWritable(environment));
  }
  link.outbox(environment).Append(row);
  ++appended_rows_;
  if (link.OnAdded(environment, clock_->Now())) wake_.Signal();
  return absl::OkStatus();
}

absl::Status TrajectoryWriter::EndEpisode(uint32_t environment,
                                          std::span<const float> final_observation) {
  POMPC_RETURN_IF_ERROR(CheckObservation(options_.spec, final_observation, "final observation"));
  MutexLock lock(&mu_);
  POMPC_RETURN_IF_ERROR(CheckWritable(environment));
  LinkOf(environment).outbox(environment).End(final_observation);
  if (LinkOf(environment).OnAdded(environment, clock_->Now())) wake_.Signal();
  return absl::OkStatus();
}

bool TrajectoryWriter::HasRoom(uint32_t environment) const {
  MutexLock lock(&mu_);
  if (LinkOf(environment).WantsRow(environment)) return true;
  // From here on_room follows: AnythingToReport looks at full_ whenever something has changed.
  full_.insert(environment);
  return false;
}

std::string TrajectoryWriter::WaitReason(uint32_t environment) const {
  MutexLock lock(&mu_);
  return LinkOf(environment).WaitReason(environment);
}

std::string TrajectoryWriter::HeldReason(uint32_t environment) const {
  MutexLock lock(&mu_);
  const ShardLink& link = LinkOf(environment);
  // Unlike HasRoom this enrols nobody: it is asked for heartbeats, by threads that make no rows.
  return link.broken().ok() && link.WantsRow(environment) ? "" : link.WaitReason(environment);
}

uint64_t TrajectoryWriter::Acknowledged(uint32_t environment) const {
  MutexLock lock(&mu_);
  return LinkOf(environment).acknowledged(environment);
}

uint64_t TrajectoryWriter::Unacked() const {
  uint64_t sum = 0;
  for (const ShardLink& link : links_) sum += link.unacked();
  return sum;
}

absl::Status TrajectoryWriter::Flush(absl::Duration timeout) {
  const absl::Duration deadline = clock_->Now() + timeout;
  MutexLock lock(&mu_);
  // Partial chunks need not wait for their time now.
  for (ShardLink& link : links_) link.FlushNow();
  wake_.Signal();
  while (Unacked() > 0) {
    if (closed_) return absl::CancelledError("the trajectory writer is closed");
    for (const ShardLink& link : links_) {
      if (link.unacked() == 0) continue;
      POMPC_RETURN_IF_ERROR(link.broken());
      // The first link that holds something names the reason; the number is that of all.
      if (clock_->Now() < deadline) continue;
      return absl::DeadlineExceededError(
          absl::StrCat(Unacked(), " rows are not acknowledged: ", link.WaitReason()));
    }
    clock_->WaitUntil(&room_, &mu_, deadline);
  }
  return absl::OkStatus();
}

void TrajectoryWriter::Close() {
  {
    MutexLock lock(&mu_);
    closed_ = true;
    // The thread ends once every stream has told its end, so that no callback outlives the writer.
    for (Line& line : lines_) {
      if (line.stream != nullptr) line.stream->Cancel();
    }
    wake_.Signal();
    room_.SignalAll();
  }
  thread_.Join();
}

TrajectoryWriter::Stats TrajectoryWriter::stats() const {
  MutexLock lock(&mu_);
  Stats sum;
  sum.appended_rows = appended_rows_;
  for (const ShardLink& link : links_) {
    const Stats& stats = link.stats();
    sum.acked_rows += stats.acked_rows;
    sum.dropped_rows += stats.dropped_rows;
    sum.refused_segments += stats.refused_segments;
    sum.resumed_segments += stats.resumed_segments;
    sum.resent_rows += stats.resent_rows;
    sum.opened_streams += stats.opened_streams;
    sum.unacked_rows += link.unacked();
  }
  return sum;
}

}  // namespace pompc::replay
