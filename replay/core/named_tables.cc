#include "replay/core/named_tables.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/values/split_mix.h"

namespace pompc::replay {
namespace {

absl::Status Unknown(absl::string_view what, absl::string_view name,
                     const std::vector<std::string>& allowed) {
  return absl::InvalidArgumentError(absl::StrCat(
      what, " \"", name, "\" does not exist; allowed: ", absl::StrJoin(allowed, ", ")));
}

}  // namespace

absl::Status CheckNamedTables(const std::vector<NamedTableOptions>& tables) {
  if (tables.empty()) return absl::InvalidArgumentError("a shard needs at least one table");
  const std::vector<std::string>& selectors = SelectorNames();
  for (size_t i = 0; i < tables.size(); ++i) {
    const std::string& name = tables[i].name;
    if (name.empty()) return absl::InvalidArgumentError(absl::StrCat("table ", i, " has no name"));
    for (size_t j = 0; j < i; ++j) {
      if (tables[j].name != name) continue;
      return absl::InvalidArgumentError(absl::StrCat("two tables are called \"", name, "\""));
    }
    const std::string& selector = tables[i].selector.name;
    if (std::find(selectors.begin(), selectors.end(), selector) == selectors.end()) {
      return Unknown("selector", selector, selectors);
    }
  }
  return absl::OkStatus();
}

std::string ToText(const std::vector<NamedTableOptions>& tables) {
  std::vector<std::string> texts;
  for (const NamedTableOptions& table : tables) {
    texts.push_back(absl::StrCat(table.name, " (", table.selector.name, ", alpha ",
                                 table.selector.alpha, ", initial_priority ",
                                 table.selector.initial_priority, ", max_times_sampled ",
                                 table.max_times_sampled, ")"));
  }
  return absl::StrJoin(texts, ", ");
}

NamedTables::NamedTables(const std::vector<NamedTableOptions>& tables) {
  POMPC_CHECK_OK(CheckNamedTables(tables));
  for (const NamedTableOptions& options : tables) {
    tables_.push_back(std::make_unique<NamedTable>(options));
  }
}

size_t NamedTables::BytesPerKey(const std::vector<NamedTableOptions>& tables) {
  POMPC_CHECK_OK(CheckNamedTables(tables));
  size_t bytes = 0;
  for (const NamedTableOptions& options : tables) {
    bytes += MakeSelector(options.selector)->bytes_per_key();
    if (options.max_times_sampled > 0) bytes += sizeof(uint32_t);
  }
  return bytes;
}

const NamedTables::NamedTable& NamedTables::At(size_t table) const {
  POMPC_CHECK_LT(table, tables_.size());
  return *tables_[table];
}

NamedTables::NamedTable& NamedTables::At(size_t table) {
  POMPC_CHECK_LT(table, tables_.size());
  return *tables_[table];
}

void NamedTables::Insert(Key key) {
  ++windows_;
  for (const auto& table : tables_) {
    table->selector->Insert(key);
    const uint32_t limit = table->options.max_times_sampled;
    if (limit == 0) continue;
    if (key >= table->draws.size()) table->draws.resize(static_cast<size_t>(key) + 1);
    table->draws[key] = 0;
    table->draws_left += limit;
  }
}

void NamedTables::Remove(Key key) {
  POMPC_CHECK_GT(windows_, 0u);
  --windows_;
  for (const auto& table : tables_) {
    if (table->HasLeft(key)) continue;
    table->selector->Remove(key);
    const uint32_t limit = table->options.max_times_sampled;
    if (limit > 0) table->draws_left -= limit - table->draws[key];
  }
}

absl::StatusOr<size_t> NamedTables::Find(absl::string_view name) const {
  std::vector<std::string> names;
  for (size_t i = 0; i < tables_.size(); ++i) {
    if (name.empty() || tables_[i]->options.name == name) return i;
    names.push_back(tables_[i]->options.name);
  }
  return Unknown("table", name, names);
}

absl::StatusOr<size_t> NamedTables::FindPrioritized(absl::string_view name) const {
  POMPC_ASSIGN_OR_RETURN(const size_t table, Find(name));
  const NamedTable& own = At(table);
  if (own.selector->has_priorities()) return table;
  return absl::FailedPreconditionError(absl::StrCat("table \"", own.options.name, "\" draws ",
                                                    own.options.selector.name,
                                                    ", without priorities"));
}

absl::Status NamedTables::CheckDraws(size_t table, uint64_t count) const {
  const NamedTable& own = At(table);
  if (own.selector->size() == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("no window is in table \"", own.options.name, "\""));
  }
  if (own.options.max_times_sampled == 0 || own.draws_left >= count) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the windows in table \"", own.options.name, "\" can be drawn ", own.draws_left,
                   " times before each has reached max_times_sampled ",
                   own.options.max_times_sampled, "; ", count, " draws are wanted"));
}

void NamedTables::Sample(size_t table, uint64_t seed, std::span<Draw> draws) {
  POMPC_CHECK_OK(CheckDraws(table, draws.size()));
  NamedTable& own = At(table);
  own.sampled_windows.fetch_add(draws.size(), std::memory_order_relaxed);
  if (own.options.max_times_sampled > 0) return SampleLimited(own, seed, draws);
  std::vector<Key> keys(draws.size());
  own.selector->Sample(seed, keys);
  for (size_t i = 0; i < keys.size(); ++i) {
    draws[i] = {keys[i], static_cast<float>(own.selector->Probability(keys[i]))};
  }
}

// One draw at a time, for each may change what the next one draws from.
void NamedTables::SampleLimited(NamedTable& table, uint64_t seed, std::span<Draw> draws) {
  for (size_t i = 0; i < draws.size(); ++i) {
    Key key = 0;
    table.selector->Sample(MixSeed(seed, i), std::span(&key, 1));
    draws[i] = {key, static_cast<float>(table.selector->Probability(key))};
    POMPC_DCHECK_LT(table.draws[key], table.options.max_times_sampled);
    ++table.draws[key];
    --table.draws_left;
    if (table.HasLeft(key)) table.selector->Remove(key);
  }
}

bool NamedTables::SetPriority(size_t table, Key key, double priority) {
  NamedTable& own = At(table);
  POMPC_CHECK(own.selector->has_priorities(), own.options.name);
  if (own.HasLeft(key)) return false;
  own.selector->SetPriority(key, priority);
  return true;
}

std::vector<NamedTableCounts> NamedTables::counts() const {
  std::vector<NamedTableCounts> all;
  for (size_t i = 0; i < tables_.size(); ++i) all.push_back(counts(i));
  return all;
}

NamedTableCounts NamedTables::counts(size_t table) const {
  const NamedTable& own = At(table);
  NamedTableCounts counts = {
      .name = own.options.name,
      .windows = own.selector->size(),
      .mass = own.selector->mass(),
      .sampled_windows = own.sampled_windows.load(std::memory_order_relaxed)};
  if (own.options.max_times_sampled == 0) return counts;
  counts.draws_left = own.draws_left;
  // A shard whose windows have few draws left must not be asked for as many as one whose windows
  // are fresh: it could not deliver them.
  if (!own.selector->has_priorities()) counts.mass = own.draws_left;
  return counts;
}

}  // namespace pompc::replay
