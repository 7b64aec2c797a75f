#include "replay/wire/tables.h"

namespace pompc::replay {

std::vector<NamedTableOptions> ToNamedTables(const proto::ReplayConfig& replay) {
  std::vector<NamedTableOptions> tables;
  for (const proto::TableConfig& table : replay.tables()) {
    tables.push_back({.name = table.name(),
                      .selector = {.name = proto::TableConfig::Selector_Name(table.selector()),
                                   .alpha = table.alpha(),
                                   .initial_priority = table.initial_priority()},
                      .max_times_sampled = table.max_times_sampled()});
  }
  if (tables.empty()) tables.emplace_back();
  return tables;
}

}  // namespace pompc::replay
