#include "replay/core/streams.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::replay {

Streams::Streams(const Options& options, Recorder record)
    : options_(options), record_(std::move(record)) {
  POMPC_CHECK_GT(options.max_segments, 0u);
  POMPC_CHECK_GT(options.max_environments, 0u);
}

absl::StatusOr<Streams::Segment*> Streams::Open(const SegmentId& id) {
  POMPC_ASSIGN_OR_RETURN(Actor* const actor, OpenActor(id));
  Environment& environment = actor->environments[id.environment];
  const Position position{id.episode, id.segment};
  if (const auto it = environment.segments.find(position); it != environment.segments.end()) {
    used_.splice(used_.begin(), used_, it->second.used);
    return &it->second;
  }
  // Rows of a segment that was forgotten may be stored already. Taken again, they would be stored
  // twice, and nobody would notice.
  if (environment.forgotten && position <= *environment.forgotten) {
    return absl::FailedPreconditionError(
        absl::StrCat(id.ToString(), " is too old: episode ", environment.forgotten->first,
                     " segment ", environment.forgotten->second, " was forgotten already"));
  }
  // Episodes end without a word when their actor dies, so segments are not forgotten at their end
  // but when others need the room.
  if (used_.size() >= options_.max_segments) ForgetLeastRecentlyUsed();
  used_.push_front(id);
  Segment& segment = environment.segments[position];
  segment.used = used_.begin();
  CheckInvariants();
  return &segment;
}

bool Streams::BeginsIncarnation(const SegmentId& id) const {
  const auto it = actors_.find(id.actor_index);
  return it == actors_.end() || id.incarnation > it->second.incarnation;
}

absl::StatusOr<Streams::Actor*> Streams::OpenActor(const SegmentId& id) {
  auto it = actors_.find(id.actor_index);
  if (it != actors_.end() && id.incarnation < it->second.incarnation) {
    return absl::FailedPreconditionError(absl::StrCat("actor ", id.actor_index, " incarnation ",
                                                      id.incarnation, " is fenced: incarnation ",
                                                      it->second.incarnation, " wrote"));
  }
  // A later lease of the same index takes over. The earlier process may still send what it had in
  // flight; from here on it is refused, and its segments need no memory.
  if (it != actors_.end() && id.incarnation > it->second.incarnation) ForgetAll(&it->second);
  const bool known = it != actors_.end() && it->second.environments.contains(id.environment);
  if (!known && it != actors_.end() &&
      it->second.environments.size() >= options_.max_environments_of_actor) {
    return absl::ResourceExhaustedError(
        absl::StrCat("actor ", id.actor_index, " writes ", it->second.environments.size(),
                     " environments to this shard, the most that one actor may"));
  }
  if (!known && environments_ >= options_.max_environments) {
    return absl::ResourceExhaustedError(
        absl::StrCat(environments_, " environments write to this shard, the most it takes"));
  }
  environments_ += known ? 0 : 1;
  const bool first = it == actors_.end();
  if (first) it = actors_.try_emplace(id.actor_index).first;
  const bool fences = first || id.incarnation != it->second.incarnation;
  it->second.incarnation = id.incarnation;
  if (fences && record_) record_(ActorRecord{id.actor_index, id.incarnation});
  return &it->second;
}

std::optional<Streams::Last> Streams::LastOf(uint32_t actor_index, uint32_t environment) const {
  const auto actor = actors_.find(actor_index);
  if (actor == actors_.end()) return std::nullopt;
  const auto found = actor->second.environments.find(environment);
  if (found == actor->second.environments.end()) return std::nullopt;
  const auto& [segments, forgotten] = found->second;
  // Segments are forgotten from the first one on, unless the environment has gone back to one.
  if (!segments.empty() && (!forgotten || segments.rbegin()->first > *forgotten)) {
    const auto& [position, state] = *segments.rbegin();
    return Last{position.first, position.second, &state};
  }
  if (!forgotten) return std::nullopt;
  return Last{forgotten->first, forgotten->second, nullptr};
}

void Streams::ForgetAll(Actor* actor) {
  for (auto& [index, environment] : actor->environments) {
    for (auto& [position, segment] : environment.segments) used_.erase(segment.used);
  }
  POMPC_CHECK_LE(actor->environments.size(), environments_);
  environments_ -= actor->environments.size();
  actor->environments.clear();
}

void Streams::ForgetLeastRecentlyUsed() {
  const SegmentId id = used_.back();
  used_.pop_back();
  Environment& environment = actors_[id.actor_index].environments[id.environment];
  const Position position{id.episode, id.segment};
  POMPC_CHECK_EQ(environment.segments.erase(position), 1u, "a segment is used but not there");
  // Segments of an environment are used in order, so one mark covers all that went before.
  environment.forgotten = std::max(environment.forgotten.value_or(position), position);
  if (!record_) return;
  SegmentId mark = id;
  std::tie(mark.episode, mark.segment) = *environment.forgotten;
  record_(ForgottenRecord{id, mark});
}

void Streams::Restore(const ActorRecord& record) {
  Actor& actor = actors_[record.actor_index];
  POMPC_CHECK(actor.environments.empty(), "actors come before what is known of their segments");
  actor.incarnation = record.incarnation;
}

void Streams::Restore(const ForgottenRecord& record) {
  const SegmentId& mark = record.mark;
  Actor& actor = actors_[mark.actor_index];
  if (mark.incarnation < actor.incarnation) return;
  actor.incarnation = mark.incarnation;
  environments_ += actor.environments.contains(mark.environment) ? 0 : 1;
  actor.environments[mark.environment].forgotten = Position{mark.episode, mark.segment};
}

// The order in which segments were used decides which of them are forgotten next. It is that of
// their last changes, as far as records tell.
void Streams::Restore(std::vector<SegmentRecord> segments) {
  std::stable_sort(
      segments.begin(), segments.end(),
      [](const SegmentRecord& a, const SegmentRecord& b) { return a.changed_at < b.changed_at; });
  for (SegmentRecord& record : segments) {
    const SegmentId& id = record.id;
    Actor& actor = actors_[id.actor_index];
    if (id.incarnation < actor.incarnation) continue;
    if (id.incarnation > actor.incarnation) ForgetAll(&actor);
    actor.incarnation = id.incarnation;
    if (used_.size() >= options_.max_segments) ForgetLeastRecentlyUsed();
    environments_ += actor.environments.contains(id.environment) ? 0 : 1;
    used_.push_front(id);
    Segment& segment = actor.environments[id.environment].segments[{id.episode, id.segment}];
    segment.next_row = record.next_row;
    segment.ended = record.ended;
    segment.terminated = record.terminated;
    segment.refused = std::move(record.refused);
    segment.tail = record.tail;
    segment.used = used_.begin();
  }
}

void Streams::CheckInvariants() const {
  POMPC_CHECK_LE(used_.size(), options_.max_segments);
  POMPC_CHECK_LE(environments_, options_.max_environments);
#ifndef NDEBUG
  // Many segments would take too long to walk through at every chunk.
  if (used_.size() > 1024) return;
  size_t segments = 0, environments = 0;
  for (const auto& [index, actor] : actors_) {
    environments += actor.environments.size();
    for (const auto& [number, environment] : actor.environments) {
      segments += environment.segments.size();
    }
  }
  POMPC_CHECK_EQ(segments, used_.size());
  POMPC_CHECK_EQ(environments, environments_);
#endif
}

ChunkVerdict JudgeChunk(const Streams::Segment& segment, uint64_t first_row, uint32_t count,
                        bool has_final) {
  using Kind = ChunkVerdict::Kind;
  if (!segment.refused.ok()) return {Kind::kRefused, 0, segment.refused};
  if (first_row > segment.next_row) return {Kind::kGap};
  const uint64_t end = first_row + count;
  if (segment.ended && (end > segment.next_row || (has_final && end < segment.next_row))) {
    return {
        Kind::kRefused, 0,
        absl::InvalidArgumentError(absl::StrCat(
            "rows ", first_row, " to ", end, ": the segment ended before row ", segment.next_row))};
  }
  if (segment.terminated && end > segment.next_row) {
    return {Kind::kRefused, 0,
            absl::InvalidArgumentError(absl::StrCat("rows ", first_row, " to ", end, ": row ",
                                                    segment.next_row - 1, " was terminated"))};
  }
  // The chunk would end the segment before a row that is stored: two writers claim to be the same.
  if (has_final && end < segment.next_row) {
    return {Kind::kRefused, 0,
            absl::InvalidArgumentError(absl::StrCat("ends before row ", end, ", but row ",
                                                    segment.next_row - 1, " is stored"))};
  }
  POMPC_CHECK_LE(first_row, segment.next_row);
  const bool new_final = has_final && !segment.ended;
  if (end <= segment.next_row && !new_final) return {Kind::kStored};
  return {Kind::kStore, static_cast<uint32_t>(segment.next_row - first_row)};
}

}  // namespace pompc::replay
