#include "tests/replay/ledger/script.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"
#include "common/io/files.h"
#include "common/values/split_mix.h"

namespace pompc::replay::ledger {
namespace {

// Purposes of random bits. Those of vectors have room for their numbers.
constexpr uint64_t kLength = 1, kEnd = 2, kHasPlan = 3, kReward = 4, kValue = 5, kVersion = 6;
constexpr uint64_t kObservation = 100, kAction = 200, kMean = 300, kStd = 400, kNewPlan = 1000;

// Most rows of an episode: some are shorter than a window.
constexpr uint64_t kMaxRows = 40;

// 24 of the bits as a number in [-1, 1).
float Unit(uint64_t bits) { return static_cast<float>(bits >> 40) / (1 << 23) - 1; }

}  // namespace

std::string RowName::ToString() const {
  return absl::StrCat("writer ", source.writer, ".", source.incarnation, " environment ",
                      source.environment, " episode ", episode, " row ", row);
}

uint32_t Episode::windows(uint32_t horizon) const {
  if (end == End::kTerminal && rows < horizon) return 1;
  const uint32_t states = items();
  return states > horizon ? states - horizon : 0;
}

RowView Row::View() const {
  RowView view;
  view.Set<float>("observations", observation);
  view.Set<float>("actions", action);
  view.Set<float>("rewards", reward);
  view.Set<uint8_t>("terminated", terminated);
  if (has_plan == 0) return view;
  view.Set<uint8_t>("has_plan", has_plan);
  view.Set<float>("plan_mean", plan_mean);
  view.Set<float>("plan_std", plan_std);
  view.Set<float>("plan_value", plan_value);
  view.Set<ParameterVersion>("versions", version);
  return view;
}

uint64_t Script::Bits(const RowName& name, uint64_t use) const {
  uint64_t bits = seed_;
  for (const uint64_t part :
       {uint64_t{name.source.writer}, uint64_t{name.source.incarnation},
        uint64_t{name.source.environment}, uint64_t{name.episode}, uint64_t{name.row}, use}) {
    bits = MixSeed(bits, part);
  }
  return bits;
}

Episode Script::EpisodeOf(const Source& source, uint32_t episode) const {
  const RowName name{source, episode, 0};
  Episode made;
  made.rows = static_cast<uint32_t>(1 + Bits(name, kLength) % kMaxRows);
  constexpr Episode::End kEnds[] = {Episode::End::kTimeLimit, Episode::End::kTimeLimit,
                                    Episode::End::kTerminal, Episode::End::kCut};
  made.end = kEnds[Bits(name, kEnd) % std::size(kEnds)];
  return made;
}

Row Script::MakeRow(const RowName& name, Plan plan) const {
  Row row;
  row.observation = {static_cast<float>(name.source.writer),
                     static_cast<float>(name.source.incarnation),
                     static_cast<float>(name.source.environment), static_cast<float>(name.episode),
                     static_cast<float>(name.row)};
  for (size_t j = 5; j < row.observation.size(); ++j) {
    row.observation[j] = Unit(Bits(name, kObservation + j));
  }
  const Episode episode = EpisodeOf(name.source, name.episode);
  row.terminated = episode.end == Episode::End::kTerminal && name.row + 1 == episode.rows ? 1 : 0;
  row.reward = Unit(Bits(name, kReward));
  row.has_plan = plan == Plan::kRefreshed || Bits(name, kHasPlan) % 8 != 0 ? 1 : 0;
  const uint64_t of_plan = plan == Plan::kRefreshed ? kNewPlan : 0;
  for (size_t j = 0; j < row.action.size(); ++j) {
    row.action[j] = Unit(Bits(name, kAction + j));
    row.plan_mean[j] = row.has_plan != 0 ? Unit(Bits(name, of_plan + kMean + j)) : 0;
    row.plan_std[j] = row.has_plan != 0 ? 1.5f + Unit(Bits(name, of_plan + kStd + j)) : 1;
  }
  // New plans of a row leave the value and the version as they were.
  if (Bits(name, kHasPlan) % 8 != 0) {
    row.plan_value = Unit(Bits(name, kValue));
    row.version = {1, 1 + Bits(name, kVersion) % 1000};
  }
  return row;
}

absl::StatusOr<RowName> Script::Read(std::span<const float> observation) const {
  uint32_t numbers[5];
  for (size_t i = 0; i < std::size(numbers); ++i) {
    const float number = observation[i];
    if (!(number >= 0 && number < (1 << 24) && number == std::floor(number))) {
      return absl::DataLossError(absl::StrCat("number ", i, " of an observation is ", number));
    }
    numbers[i] = static_cast<uint32_t>(number);
  }
  const RowName name{{numbers[0], numbers[1], numbers[2]}, numbers[3], numbers[4]};
  if (name.row >= EpisodeOf(name.source, name.episode).items()) {
    return absl::DataLossError(absl::StrCat(name.ToString(), ": its episode has no such row"));
  }
  const Row expected = MakeRow(name);
  if (!std::equal(observation.begin(), observation.end(), expected.observation.begin(),
                  expected.observation.end())) {
    return absl::DataLossError(absl::StrCat(name.ToString(), ": another observation"));
  }
  return name;
}

void ItemSequence::Next() {
  if (++item_ < episode_.items()) return;
  item_ = 0;
  episode_ = script_.EpisodeOf(source_, ++number_);
}

std::string LedgerName(uint32_t writer, uint32_t incarnation) {
  return absl::StrCat("writer-", writer, "-", incarnation, ".ledger");
}

absl::StatusOr<Ledger> ReadLedgers(const std::string& folder) {
  Ledger ledger;
  POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  for (const std::string& name : names) {
    if (!name.ends_with(".ledger")) continue;
    POMPC_ASSIGN_OR_RETURN(const std::string text, ReadFile(folder + "/" + name));
    const std::vector<std::string> words = absl::StrSplit(name, absl::ByAnyChar("-."));
    Source source;
    if (words.size() != 4 || !absl::SimpleAtoi(words[1], &source.writer) ||
        !absl::SimpleAtoi(words[2], &source.incarnation)) {
      return absl::DataLossError(absl::StrCat(name, ": no ledger has this name"));
    }
    std::vector<std::string> lines = absl::StrSplit(text, '\n');
    lines.pop_back();
    for (const std::string& line : lines) {
      const std::pair<std::string, std::string> pair = absl::StrSplit(line, ' ');
      uint64_t items = 0;
      if (!absl::SimpleAtoi(pair.first, &source.environment) ||
          !absl::SimpleAtoi(pair.second, &items) || items < ledger[source]) {
        return absl::DataLossError(absl::StrCat(name, ": line \"", line, "\""));
      }
      ledger[source] = items;
    }
  }
  return ledger;
}

}  // namespace pompc::replay::ledger
