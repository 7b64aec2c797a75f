#include "tests/replay/faults/store_model.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

std::string Hex(std::span<const std::byte> bytes) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::string InWords(const SegmentRecord& segment) {
  return absl::StrCat(segment.id.ToString(), ": ", segment.next_row, " ended ", segment.ended, " ",
                      segment.terminated, " tail ", segment.tail, " at ", segment.changed_at, " ",
                      segment.refused.ToString());
}

}  // namespace

struct ContentWords::Adder {
  ContentWords& content;

  void operator()(const ConfigRecord& record) const {
    content.config_ = std::string(record.config);
  }

  void operator()(const ChunkRecord& chunk) const {
    content.oldest_ = std::max(content.oldest_, chunk.oldest);
    uint64_t address = chunk.address;
    uint64_t previous = chunk.previous;
    for (uint32_t i = chunk.begin; i < chunk.rows.count; ++i) {
      std::string numbers;
      for (size_t c = 0; c < kRowColumns; ++c) {
        const uint64_t n = kColumns[c].bytes(chunk.spec);
        absl::StrAppend(&numbers, Hex(chunk.rows.columns[c].subspan(i * n, n)), " ");
      }
      Add(address, previous, absl::StrCat("row ", chunk.first_row + i), chunk.segment, numbers);
      previous = address++;
    }
    if (!chunk.rows.final_observation.empty()) {
      Add(address, previous, "the end", chunk.segment,
          Hex(std::as_bytes(chunk.rows.final_observation)));
    }
  }
  void Add(uint64_t address, uint64_t previous, const std::string& what, const SegmentId& segment,
           const std::string& numbers) const {
    content.slots_[address] =
        absl::StrCat(what, " of ", segment.ToString(), " behind ", previous, ": ", numbers);
  }

  void operator()(const SegmentRecord& segment) const {
    content.segments_[segment.id.ToString()] = InWords(segment);
  }

  void operator()(const ActorRecord& actor) const {
    content.actors_[actor.actor_index] = actor.incarnation;
    const auto of_actor = [&](const auto& entry) {
      return entry.first.starts_with(absl::StrCat("actor ", actor.actor_index, ".")) &&
             !entry.first.starts_with(
                 absl::StrCat("actor ", actor.actor_index, ".", actor.incarnation, " "));
    };
    std::erase_if(content.segments_, of_actor);
    std::erase_if(content.marks_,
                  [&](const auto& entry) { return entry.first.first == actor.actor_index; });
  }

  void operator()(const ForgottenRecord& forgotten) const {
    content.segments_.erase(forgotten.segment.ToString());
    content.marks_[{forgotten.mark.actor_index, forgotten.mark.environment}] =
        forgotten.mark.ToString();
  }

  void operator()(const PlansRecord& plans) const {
    const size_t a = plans.plan_mean.size() / plans.addresses.size();
    for (size_t i = 0; i < plans.addresses.size(); ++i) {
      content.plans_[plans.addresses[i]] =
          absl::StrCat(absl::StrJoin(plans.plan_mean.subspan(i * a, a), " "), "; ",
                       absl::StrJoin(plans.plan_std.subspan(i * a, a), " "));
    }
  }

  void operator()(const BarredRecord& barred) const {
    content.barred_.insert(barred.addresses.begin(), barred.addresses.end());
  }

  // A store may keep a grant back until other records come.
  void operator()(const GrantRecord&) const {}

  void operator()(const EvictedRecord& evicted) const {
    content.oldest_ = std::max(content.oldest_, evicted.oldest);
  }
};

void ContentWords::Add(const StoreRecord& record) { std::visit(Adder{*this}, record); }

std::set<std::string> ContentWords::words() const {
  std::set<std::string> words = {absl::StrCat("config ", config_),
                                 absl::StrCat("oldest ", oldest_)};
  for (const auto& [index, incarnation] : actors_) {
    words.insert(absl::StrCat("actor ", index, ".", incarnation));
  }
  for (const auto& [id, segment] : segments_) words.insert(segment);
  for (const auto& [environment, mark] : marks_) words.insert(absl::StrCat("mark ", mark));
  for (auto it = slots_.lower_bound(oldest_); it != slots_.end(); ++it) {
    words.insert(absl::StrCat("slot ", it->first, " is ", it->second));
  }
  for (auto it = plans_.lower_bound(oldest_); it != plans_.end(); ++it) {
    words.insert(absl::StrCat("plan of ", it->first, ": ", it->second));
  }
  for (auto it = barred_.lower_bound(oldest_); it != barred_.end(); ++it) {
    words.insert(absl::StrCat("barred ", *it));
  }
  return words;
}

absl::StatusOr<std::set<std::string>> LoadedWords(Store* store) {
  ContentWords content;
  POMPC_RETURN_IF_ERROR(store->Load([&](const StoreRecord& record, double) {
    content.Add(record);
    return absl::OkStatus();
  }));
  return content.words();
}

void StoreWorkload::Next(const std::function<void(std::span<const StoreRecord>)>& record) {
  const auto one = [&](const StoreRecord& only) { record({&only, 1}); };
  // Settings come first, as a shard has them before its rows.
  const uint64_t kind = configs_ == 0 ? 87 : next_ == 0 ? 0 : random_.Below(100);
  if (kind < 70) {
    NextChunk(record);
  } else if (kind < 78) {
    const std::vector<uint64_t> addresses = AnyAddresses();
    std::vector<float> mean, std;
    for (size_t i = 0; i < addresses.size() * kSpec.action_size; ++i) {
      mean.push_back(static_cast<float>(random_.Below(1000)) / 1000);
      std.push_back(static_cast<float>(1 + random_.Below(1000)) / 1000);
    }
    one(PlansRecord{addresses, mean, std});
  } else if (kind < 84) {
    const std::vector<uint64_t> addresses = AnyAddresses();
    one(BarredRecord{addresses});
  } else if (kind < 87) {
    one(GrantRecord{random_.Below(2) == 0, ParameterVersion{1, 1 + random_.Below(100)}});
  } else if (kind < 89) {
    one(ConfigRecord{absl::StrCat("settings ", ++configs_)});
  } else if (kind < 92) {
    // All environments of an actor begin again under its next incarnation.
    const uint32_t actor = AnyWriter().id.actor_index;
    uint64_t incarnation = 0;
    for (Writer& writer : writers_) {
      if (writer.id.actor_index != actor) continue;
      incarnation = writer.id.incarnation + 1;
      writer = {{actor, incarnation, writer.id.environment, 0, 0}};
    }
    one(ActorRecord{actor, incarnation});
  } else if (kind < 96) {
    Writer& writer = AnyWriter();
    const SegmentId forgotten = writer.id;
    writer = {forgotten};
    ++writer.id.episode;
    one(ForgottenRecord{forgotten, forgotten});
  } else {
    Writer& writer = AnyWriter();
    SegmentRecord refused = StateOf(writer);
    refused.refused = absl::InvalidArgumentError("row 3: reward is nan");
    writer = {writer.id};
    ++writer.id.episode;
    one(refused);
  }
}

void StoreWorkload::NextChunk(const std::function<void(std::span<const StoreRecord>)>& record) {
  Writer& writer = AnyWriter();
  const uint32_t rows = static_cast<uint32_t>(1 + random_.Below(6));
  const bool ends = random_.Below(5) == 0;
  RowBuilder builder(kSpec);
  // Some of the rows that come are stored already.
  const uint32_t begin =
      static_cast<uint32_t>(random_.Below(std::min<uint64_t>(writer.next_row, 3) + 1));
  const uint64_t first = writer.next_row - begin;
  for (uint32_t i = 0; i < begin + rows; ++i) {
    builder.Add((first + i) * 10 + random_.Below(10), random_.Below(4) != 0);
    if (i >= begin) planned_rows_ += builder.has_plan_.back();
  }
  if (ends) builder.Final(random_.Below(1000));
  const uint64_t slots = rows + (ends ? 1 : 0);
  rows_ += rows;
  next_ += slots;
  oldest_ = std::max(oldest_, next_ - std::min(next_, kSlots));
  const ChunkRecord chunk = {.segment = writer.id,
                             .spec = kSpec,
                             .first_row = first,
                             .rows = builder.View(),
                             .begin = begin,
                             .address = next_ - slots,
                             .previous = writer.tail,
                             .oldest = oldest_,
                             .accepted_rows = rows_,
                             .planned_rows = planned_rows_};
  writer.next_row += rows;
  writer.tail = next_ - 1;
  SegmentRecord state = StateOf(writer);
  state.ended = ends;
  if (ends) {
    writer = {writer.id};
    ++writer.id.episode;
  }
  const StoreRecord group[] = {chunk, state};
  record(group);
}

std::vector<uint64_t> StoreWorkload::AnyAddresses() {
  std::set<uint64_t> addresses;
  for (uint64_t i = 0; i < 4; ++i) addresses.insert(oldest_ + random_.Below(next_ - oldest_));
  return {addresses.begin(), addresses.end()};
}

SegmentRecord StoreWorkload::StateOf(const Writer& writer) const {
  return {.id = writer.id, .next_row = writer.next_row, .tail = writer.tail, .changed_at = next_};
}

}  // namespace pompc::replay
