#include "replay/client/trajectory_writer.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/base/thread.h"
#include "common/rpc/status.h"
#include "replay/client/append_stream.h"
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
  return absl::OkStatus();
}

// One thread makes every decision (ShardLink) and starts every operation; gRPC's threads only bring
// news and wake it.
class TrajectoryWriter::Impl {
 public:
  Impl(TrajectoryWriterOptions options, Clock* clock);
  ~Impl() { Close(); }

  void BeginEpisode(uint32_t environment);
  absl::Status Append(uint32_t environment, const RowView& row, absl::Duration timeout);
  absl::Status EndEpisode(uint32_t environment, std::span<const float> final_observation);
  bool HasRoom(uint32_t environment) const;
  std::string WaitReason(uint32_t environment) const;
  std::string HeldReason(uint32_t environment) const;
  uint64_t Acknowledged(uint32_t environment) const;
  absl::Status Flush(absl::Duration timeout);
  void Close();
  Stats stats() const;

 private:
  // One shard's stream, and whether its callbacks allow what is to be done.
  struct Line {
    std::unique_ptr<proto::ReplayService::Stub> stub;
    std::unique_ptr<AppendStream> stream;
    bool closing = false;  // nothing can be written any more
    bool ended = false;    // the stream can be destroyed
  };

  ShardLink& LinkOf(uint32_t environment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    POMPC_DCHECK_LT(environment, options_.shard_of_environment.size());
    return links_[options_.shard_of_environment[environment]];
  }
  const ShardLink& LinkOf(uint32_t environment) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    POMPC_DCHECK_LT(environment, options_.shard_of_environment.size());
    return links_[options_.shard_of_environment[environment]];
  }
  absl::Status CheckWritable(uint32_t environment) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t Unacked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void Run();
  // Does what the shard's link decides until it has nothing more to do.
  void Drive(uint32_t shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OpenStream(uint32_t shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AllStreamsEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AnythingToReport() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReportSegments() ABSL_LOCKS_EXCLUDED(mu_);
  void ReportRoom() ABSL_LOCKS_EXCLUDED(mu_);

  const TrajectoryWriterOptions options_;
  Clock* const clock_;

  mutable Mutex mu_;
  CondVar wake_;  // for the thread: something changed
  CondVar room_;  // for callers: rows were acknowledged or dropped
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<ShardLink> links_ ABSL_GUARDED_BY(mu_);
  std::vector<Line> lines_ ABSL_GUARDED_BY(mu_);
  uint64_t appended_rows_ ABSL_GUARDED_BY(mu_) = 0;
  // Environments whose caller was told that there is no room.
  mutable std::set<uint32_t> full_ ABSL_GUARDED_BY(mu_);

  Thread thread_;  // last: it uses everything above
};

TrajectoryWriter::Impl::Impl(TrajectoryWriterOptions options, Clock* clock)
    : options_(std::move(options)), clock_(clock) {
  POMPC_CHECK_OK(options_.Validate());
  for (uint32_t shard = 0; shard < options_.shards.size(); ++shard) {
    links_.emplace_back(options_, shard);
    lines_.emplace_back().stub = proto::ReplayService::NewStub(options_.shards[shard]);
  }
  thread_ = Thread("replay-writer", [this] { Run(); });
}

void TrajectoryWriter::Impl::Run() {
  bool done = false;
  while (!done) {
    ReportSegments();
    ReportRoom();
    MutexLock lock(&mu_);
    absl::Duration deadline = absl::InfiniteDuration();
    for (uint32_t shard = 0; shard < links_.size(); ++shard) {
      Drive(shard);
      deadline = std::min(deadline, links_[shard].NextDeadline());
    }
    done = closed_ && AllStreamsEnded();
    if (!done && !AnythingToReport()) clock_->WaitUntil(&wake_, &mu_, deadline);
  }
}

void TrajectoryWriter::Impl::Drive(uint32_t shard) {
  ShardLink& link = links_[shard];
  Line& line = lines_[shard];
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
        if (line.closing) return;
        line.stream->request()->Clear();
        link.NextChunk(now, line.stream->request());
        line.stream->Write();
        break;
    }
  }
}

void TrajectoryWriter::Impl::OpenStream(uint32_t shard) {
  Line* const line = &lines_[shard];
  ShardLink* const link = &links_[shard];
  line->closing = false;
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
  line->stream = std::make_unique<AppendStream>(line->stub.get(), std::move(callbacks));
}

bool TrajectoryWriter::Impl::AllStreamsEnded() const {
  return std::all_of(lines_.begin(), lines_.end(),
                     [](const Line& line) { return line.stream == nullptr; });
}

bool TrajectoryWriter::Impl::AnythingToReport() const {
  for (const ShardLink& link : links_) {
    if (link.HasNews()) return true;
  }
  for (const uint32_t environment : full_) {
    if (LinkOf(environment).WantsRow(environment)) return true;
  }
  return false;
}

void TrajectoryWriter::Impl::ReportSegments() {
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

void TrajectoryWriter::Impl::ReportRoom() {
  std::vector<uint32_t> environments;
  {
    MutexLock lock(&mu_);
    for (const uint32_t environment : full_) {
      if (LinkOf(environment).WantsRow(environment)) environments.push_back(environment);
    }
    for (const uint32_t environment : environments) full_.erase(environment);
  }
  if (options_.on_room == nullptr) return;
  for (const uint32_t environment : environments) options_.on_room(environment);
}

absl::Status TrajectoryWriter::Impl::CheckWritable(uint32_t environment) const {
  if (closed_) return absl::CancelledError("the trajectory writer is closed");
  const ShardLink& link = LinkOf(environment);
  POMPC_RETURN_IF_ERROR(link.broken());
  return link.outbox(environment).CheckOpen();
}

void TrajectoryWriter::Impl::BeginEpisode(uint32_t environment) {
  MutexLock lock(&mu_);
  LinkOf(environment).outbox(environment).BeginEpisode();
  if (LinkOf(environment).OnAdded(environment, clock_->Now())) wake_.Signal();
}

absl::Status TrajectoryWriter::Impl::Append(uint32_t environment, const RowView& row,
                                            absl::Duration timeout) {
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
    clock_->WaitUntil(&room_, &mu_, deadline);
    POMPC_RETURN_IF_ERROR(CheckWritable(environment));
  }
  link.outbox(environment).Append(row);
  ++appended_rows_;
  if (link.OnAdded(environment, clock_->Now())) wake_.Signal();
  return absl::OkStatus();
}

absl::Status TrajectoryWriter::Impl::EndEpisode(uint32_t environment,
                                                std::span<const float> final_observation) {
  POMPC_RETURN_IF_ERROR(CheckObservation(options_.spec, final_observation, "final observation"));
  MutexLock lock(&mu_);
  POMPC_RETURN_IF_ERROR(CheckWritable(environment));
  LinkOf(environment).outbox(environment).End(final_observation);
  if (LinkOf(environment).OnAdded(environment, clock_->Now())) wake_.Signal();
  return absl::OkStatus();
}

bool TrajectoryWriter::Impl::HasRoom(uint32_t environment) const {
  MutexLock lock(&mu_);
  if (LinkOf(environment).WantsRow(environment)) return true;
  full_.insert(environment);
  return false;
}

std::string TrajectoryWriter::Impl::WaitReason(uint32_t environment) const {
  MutexLock lock(&mu_);
  return LinkOf(environment).WaitReason(environment);
}

std::string TrajectoryWriter::Impl::HeldReason(uint32_t environment) const {
  MutexLock lock(&mu_);
  const ShardLink& link = LinkOf(environment);
  return link.broken().ok() && link.WantsRow(environment) ? "" : link.WaitReason(environment);
}

uint64_t TrajectoryWriter::Impl::Acknowledged(uint32_t environment) const {
  MutexLock lock(&mu_);
  return LinkOf(environment).acknowledged(environment);
}

uint64_t TrajectoryWriter::Impl::Unacked() const {
  uint64_t sum = 0;
  for (const ShardLink& link : links_) sum += link.unacked();
  return sum;
}

absl::Status TrajectoryWriter::Impl::Flush(absl::Duration timeout) {
  const absl::Duration deadline = clock_->Now() + timeout;
  MutexLock lock(&mu_);
  for (ShardLink& link : links_) link.FlushNow();
  wake_.Signal();
  while (Unacked() > 0) {
    if (closed_) return absl::CancelledError("the trajectory writer is closed");
    for (const ShardLink& link : links_) {
      if (link.unacked() == 0) continue;
      POMPC_RETURN_IF_ERROR(link.broken());
      if (clock_->Now() < deadline) continue;
      return absl::DeadlineExceededError(
          absl::StrCat(Unacked(), " rows are not acknowledged: ", link.WaitReason()));
    }
    clock_->WaitUntil(&room_, &mu_, deadline);
  }
  return absl::OkStatus();
}

void TrajectoryWriter::Impl::Close() {
  {
    MutexLock lock(&mu_);
    closed_ = true;
    for (Line& line : lines_) {
      if (line.stream != nullptr) line.stream->Cancel();
    }
    wake_.Signal();
    room_.SignalAll();
  }
  thread_.Join();
}

TrajectoryWriter::Stats TrajectoryWriter::Impl::stats() const {
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

TrajectoryWriter::TrajectoryWriter(TrajectoryWriterOptions options, Clock* clock)
    : impl_(std::make_unique<Impl>(std::move(options), clock)) {}
TrajectoryWriter::~TrajectoryWriter() = default;

void TrajectoryWriter::BeginEpisode(uint32_t environment) { impl_->BeginEpisode(environment); }
absl::Status TrajectoryWriter::Append(uint32_t environment, const RowView& row,
                                      absl::Duration timeout) {
  return impl_->Append(environment, row, timeout);
}
absl::Status TrajectoryWriter::EndEpisode(uint32_t environment,
                                          std::span<const float> final_observation) {
  return impl_->EndEpisode(environment, final_observation);
}
bool TrajectoryWriter::HasRoom(uint32_t environment) const { return impl_->HasRoom(environment); }
std::string TrajectoryWriter::WaitReason(uint32_t environment) const {
  return impl_->WaitReason(environment);
}
std::string TrajectoryWriter::HeldReason(uint32_t environment) const {
  return impl_->HeldReason(environment);
}
uint64_t TrajectoryWriter::Acknowledged(uint32_t environment) const {
  return impl_->Acknowledged(environment);
}
absl::Status TrajectoryWriter::Flush(absl::Duration timeout) { return impl_->Flush(timeout); }
void TrajectoryWriter::Close() { impl_->Close(); }
TrajectoryWriter::Stats TrajectoryWriter::stats() const { return impl_->stats(); }

}  // namespace pompc::replay
