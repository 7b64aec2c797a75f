#include "replay/client/outbox.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "replay/wire/columns.h"

namespace pompc::replay {

Outbox::Outbox(const RowSpec& spec, uint32_t max_rows) : spec_(spec), max_rows_(max_rows) {
  POMPC_CHECK_GT(max_rows, 0u);
}

void Outbox::BeginEpisode() {
  if (episode_.ok()) Close(&segments_.back());
  // The episode before keeps its segment until its rows are acknowledged; the new one begins behind
  // it, and chunks go out in that order.
  EraseDone();
  segments_.push_back({.episode = next_episode_++});
  episode_ = absl::OkStatus();
  terminated_ = false;
  CheckInvariants();
}

absl::Status Outbox::CheckOpen() const { return episode_; }

absl::Status Outbox::CheckTakesRows() const {
  if (!episode_.ok() || !terminated_) return episode_;
  return absl::FailedPreconditionError("the episode is in a terminal state: end it");
}

void Outbox::Append(const RowView& row) {
  POMPC_CHECK_OK(CheckTakesRows());
  POMPC_CHECK(HasRoom());
  POMPC_DCHECK(CheckRow(spec_, row).ok());
  Segment& segment = segments_.back();
  // Rows are kept as messages carry them, a string for each column: a chunk is then one copy for
  // each column, and the copy that is kept for sending again is the same.
  for (size_t c = 0; c < kRowColumns; ++c) {
    const std::span<const std::byte> bytes = row.columns[c];
    std::string& held = segment.columns[c];
    if (!bytes.empty()) {
      held.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      continue;
    }
    const size_t before = held.size();
    held.resize(before + kColumns[c].bytes(spec_));
    WriteFiller(kColumns[c], spec_, reinterpret_cast<std::byte*>(held.data() + before));
  }
  terminated_ = row.Get<uint8_t>("terminated")[0] != 0;
  ++segment.end;
  ++unacked_;
  CheckInvariants();
}

void Outbox::End(std::span<const float> final_observation) {
  POMPC_CHECK_OK(CheckOpen());
  POMPC_CHECK_EQ(final_observation.size(), spec_.observation_size);
  Segment& segment = segments_.back();
  // After a gap the rows before may all be gone: then there is no window for it to complete.
  if (segment.end > 0) {
    segment.final_observation.assign(final_observation.begin(), final_observation.end());
    ++unacked_;
  }
  Close(&segment);
  EraseDone();
  CheckInvariants();
}

void Outbox::Close(Segment* segment) {
  segment->closed = true;
  episode_ = absl::FailedPreconditionError("the episode has ended");
}

RowView Outbox::Segment::Rows(const RowSpec& spec, uint64_t from, uint64_t to) const {
  POMPC_CHECK_LE(base, from);
  POMPC_CHECK_LE(from, to);
  POMPC_CHECK_LE(to, end);
  RowView rows;
  rows.count = static_cast<uint32_t>(to - from);
  for (size_t c = 0; c < kRowColumns; ++c) {
    const uint64_t n = kColumns[c].bytes(spec);
    rows.columns[c] =
        std::as_bytes(std::span(columns[c])).subspan((from - base) * n, rows.count * n);
  }
  return rows;
}

bool Outbox::HasChunk(uint32_t chunk_rows, bool partial) const {
  for (const Segment& segment : segments_) {
    if (!segment.Sendable()) continue;
    // Segments go out in order: the first one that has something decides.
    return partial || segment.closed || segment.end - segment.next_send >= chunk_rows;
  }
  return false;
}

uint32_t Outbox::FillChunk(uint32_t chunk_rows, proto::AppendRequest* request) {
  const auto found = std::find_if(segments_.begin(), segments_.end(),
                                  [](const Segment& s) { return s.Sendable(); });
  POMPC_CHECK(found != segments_.end(), "nothing is to be sent");
  Segment& segment = *found;
  const uint64_t first = segment.next_send;
  const uint64_t end = std::min(segment.end, first + chunk_rows);
  request->mutable_stream()->set_episode(segment.episode);
  request->mutable_stream()->set_segment(segment.segment);
  request->set_first_row(first);
  RowView rows = segment.Rows(spec_, first, end);
  // The final observation goes with the last rows. If the episode ended after they were sent, it
  // goes alone, in a chunk of no rows.
  if (end == segment.end && !segment.final_observation.empty()) {
    rows.final_observation = segment.final_observation;
    segment.final_sent = true;
  }
  FillRows(rows, request->mutable_rows());
  segment.next_send = end;
  // Rows are counted as sent again only from here on; max_sent survives broken streams.
  const uint64_t sent_before = std::min(std::max(segment.max_sent, first), end) - first;
  segment.max_sent = std::max(segment.max_sent, end);
  return static_cast<uint32_t>(sent_before);
}

std::list<Outbox::Segment>::iterator Outbox::Find(uint64_t episode, uint32_t segment) {
  return std::find_if(segments_.begin(), segments_.end(), [&](const Segment& s) {
    return s.episode == episode && s.segment == segment;
  });
}

void Outbox::DropRowsBefore(Segment* segment, uint64_t row) {
  POMPC_CHECK_GE(row, segment->base);
  POMPC_CHECK_LE(row, segment->end);
  const uint64_t n = row - segment->base;
  for (size_t c = 0; c < kRowColumns; ++c) {
    // What is left moves to the front: at most max_rows rows.
    segment->columns[c].erase(0, n * kColumns[c].bytes(spec_));
  }
  segment->base = row;
  segment->next_send = std::max(segment->next_send, row);
  unacked_ -= n;
}

uint32_t Outbox::OnAcked(uint64_t episode, uint32_t segment_number, uint64_t next_row, bool ended) {
  const auto segment = Find(episode, segment_number);
  if (segment == segments_.end()) return 0;
  // Acknowledgements are cumulative and may come late or twice, so they are cut to what is held.
  const uint32_t before = unacked_;
  const uint64_t row = std::clamp(next_row, segment->base, segment->end);
  DropRowsBefore(&*segment, row);
  const uint32_t freed = before - unacked_;
  // The final observation counts as one row until the shard confirms it.
  if (ended && row == segment->end && !segment->final_observation.empty()) {
    segment->final_observation.clear();
    --unacked_;
  }
  EraseDone();
  CheckInvariants();
  return freed;
}

bool Outbox::OnGap(uint64_t episode, uint32_t segment_number, uint64_t next_row) {
  const auto segment = Find(episode, segment_number);
  if (segment == segments_.end() || next_row > segment->end) return false;
  // A shard stores nothing of a chunk that begins behind a gap, so its final observation goes out
  // again too.
  segment->final_sent = false;
  if (next_row >= segment->base) {
    // The shard lost some of what was sent, and all of that is still here.
    DropRowsBefore(&*segment, next_row);
    segment->next_send = next_row;
    CheckInvariants();
    return false;
  }
  // The shard lost rows that it had acknowledged, which are forgotten here: its memory began from
  // nothing. What is left becomes row 0 of a new segment, since no window may span the loss.
  ++segment->segment;
  segment->end -= segment->base;
  segment->max_sent -= std::min(segment->max_sent, segment->base);
  segment->base = 0;
  segment->next_send = 0;
  if (segment->end == 0 && !segment->final_observation.empty()) {
    segment->final_observation.clear();  // it would complete no window
    --unacked_;
  }
  EraseDone();
  CheckInvariants();
  return true;
}

std::optional<uint32_t> Outbox::OnRefused(uint64_t episode, uint32_t segment_number,
                                          const absl::Status& why) {
  const auto segment = Find(episode, segment_number);
  if (segment == segments_.end()) return std::nullopt;
  // If the episode is not over, the environment is to hear of it at its next row.
  if (!segment->closed) {
    episode_ =
        absl::AbortedError(absl::StrCat("the shard refused the episode: ", why.message()));
  }
  const uint32_t rows = static_cast<uint32_t>(segment->end - segment->base);
  unacked_ -= rows + (segment->final_observation.empty() ? 0 : 1);
  segments_.erase(segment);
  CheckInvariants();
  return rows;
}

void Outbox::OnDisconnected() {
  for (Segment& segment : segments_) {
    // What was in flight may have arrived or not; the shard skips the rows that it has.
    segment.next_send = segment.base;
    segment.final_sent = false;
  }
}

// A closed segment stays until all of it, its final observation included, is acknowledged.
void Outbox::EraseDone() {
  std::erase_if(segments_, [](const Segment& segment) { return segment.Done(); });
}

void Outbox::CheckInvariants() const {
  POMPC_CHECK_LE(unacked_, uint64_t{max_rows_} + 1);
  POMPC_CHECK(!episode_.ok() || (!segments_.empty() && !segments_.back().closed),
              "the current episode has no segment");
#ifndef NDEBUG
  uint64_t held = 0;
  // Walks through all that is held, which is too much for every row of a release build.
  for (const Segment& segment : segments_) {
    POMPC_CHECK_LE(segment.base, segment.next_send);
    POMPC_CHECK_LE(segment.next_send, segment.end);
    POMPC_CHECK_LE(segment.max_sent, segment.end);
    const uint64_t rows = segment.end - segment.base;
    for (size_t c = 0; c < kRowColumns; ++c) {
      POMPC_CHECK_EQ(segment.columns[c].size(), rows * kColumns[c].bytes(spec_), kColumns[c].name);
    }
    held += rows + (segment.final_observation.empty() ? 0 : 1);
  }
  POMPC_CHECK_EQ(held, unacked_);
#endif
}

// A shard that says nothing is stuck only if something was sent to it. Rows that were never sent
// say nothing about the shard.
bool Outbox::AwaitsReply() const {
  return std::any_of(segments_.begin(), segments_.end(), [](const Segment& segment) {
    return segment.next_send > segment.base || segment.final_sent;
  });
}

}  // namespace pompc::replay
