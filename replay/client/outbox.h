#ifndef POMPC_REPLAY_CLIENT_OUTBOX_H_
#define POMPC_REPLAY_CLIENT_OUTBOX_H_

#include <array>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/replay.pb.h"
#include "replay/core/row.h"

namespace pompc::replay {

// The rows of one environment that no shard has acknowledged yet, in segments, oldest first: what
// is to be sent next, and what must be sent again. Holds at most max_rows rows (an unacknowledged
// final observation counts as one, and may be one more). max_rows is at least 1. Not thread-safe;
// never blocks.
class Outbox {
 public:
  Outbox(const RowSpec& spec, uint32_t max_rows);

  // Begins the next episode; one that was not ended is cut off.
  void BeginEpisode();
  // OK while an episode is open. FAILED_PRECONDITION before BeginEpisode and after End; ABORTED
  // with the reason when its segment was refused.
  absl::Status CheckOpen() const;
  // OK while the episode takes rows: as CheckOpen, and FAILED_PRECONDITION after a terminated row.
  absl::Status CheckTakesRows() const;
  bool HasRoom() const { return unacked_ < max_rows_; }
  // REQUIRES: CheckTakesRows() is OK, HasRoom(), CheckRow(spec, row) is OK.
  void Append(const RowView& row);
  // Ends the episode. REQUIRES: CheckOpen() is OK, a valid observation. An episode without a row
  // leaves nothing to send.
  void End(std::span<const float> final_observation);

  // True if a chunk of `chunk_rows` rows, or one that ends a segment, is available to be sent; with
  // `partial`, if anything is.
  bool HasChunk(uint32_t chunk_rows, bool partial) const;
  // Copies the next rows of one segment, `chunk_rows` at most, into `request` (stream: episode and
  // segment; first_row; rows). REQUIRES: HasChunk(1, true). Returns how many rows were sent before.
  uint32_t FillChunk(uint32_t chunk_rows, proto::AppendRequest* request);

  // Notes that the shard holds all rows of a segment before next_row, and its end if `ended`.
  // Returns the number of rows that this freed.
  uint32_t OnAcked(uint64_t episode, uint32_t segment, uint64_t next_row, bool ended);
  // Handles a gap: the shard expects next_row. If that row is no longer here, the rows that are
  // left become a new segment, and true is returned.
  bool OnGap(uint64_t episode, uint32_t segment, uint64_t next_row);
  // Drops a segment of which the shard takes nothing any more. Returns the rows dropped, or nothing
  // if the segment is unknown (dropped before).
  std::optional<uint32_t> OnRefused(uint64_t episode, uint32_t segment, const absl::Status& why);
  // The stream broke: everything unacknowledged is to be sent again.
  void OnDisconnected();

  // Rows held, final observations included.
  uint32_t unacked() const { return unacked_; }
  // True if something was sent and is not answered yet.
  bool AwaitsReply() const;

 private:
  struct Segment {
    uint64_t episode = 0;
    uint32_t segment = 0;
    uint64_t base = 0;       // number of the first row held
    uint64_t end = 0;        // rows base .. end-1 are held
    uint64_t next_send = 0;  // the next to send, base .. end
    uint64_t max_sent = 0;   // rows before this one were sent once
    bool closed = false;     // no more rows come
    bool final_sent = false;
    // Bytes of each column of the rows held, as messages carry them.
    std::array<std::string, kRowColumns> columns;
    std::vector<float> final_observation;

    // Borrows rows from .. to-1. REQUIRES: base <= from <= to <= end.
    RowView Rows(const RowSpec& spec, uint64_t from, uint64_t to) const;
    bool FinalToSend() const { return !final_observation.empty() && !final_sent; }
    bool Sendable() const { return next_send < end || FinalToSend(); }
    bool Done() const { return closed && base == end && final_observation.empty(); }
  };

  std::list<Segment>::iterator Find(uint64_t episode, uint32_t segment);
  void DropRowsBefore(Segment* segment, uint64_t row);
  void Close(Segment* segment);
  void EraseDone();
  // Checks what must hold between the fields after each change.
  void CheckInvariants() const;

  const RowSpec spec_;
  const uint32_t max_rows_;
  std::list<Segment> segments_;  // in the order of episodes
  uint64_t next_episode_ = 0;
  uint32_t unacked_ = 0;
  // The newest row of the open episode was terminated.
  bool terminated_ = false;
  // Why no episode is open; OK if one is.
  absl::Status episode_ = absl::FailedPreconditionError("no episode was begun");
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CLIENT_OUTBOX_H_
