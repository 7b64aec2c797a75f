#include "tests/replay/faults/store_machine.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "tests/support/await.h"

namespace pompc::replay {

StoreMachine::StoreMachine(uint64_t seed, Durability durability)
    : disk_(std::make_shared<FragileDisk>(std::vector<std::string>{"/disk"})),
      env_(rocksdb::NewCompositeEnv(disk_)),
      workload_(seed),
      random_(seed),
      contents_{ContentWords().words()} {
  options_.folder = "/disk/shard-0";
  options_.durability = durability;
  options_.env = env_.get();
  if (durability == Durability::kBackground) options_.clock = &clock_;
}

absl::Status StoreMachine::Work(int groups) {
  absl::StatusOr<std::unique_ptr<RocksStore>> opened = RocksStore::Open(options_);
  if (disk_->power_is_cut()) return absl::OkStatus();
  POMPC_RETURN_IF_ERROR(opened.status());
  const std::unique_ptr<RocksStore> store = *std::move(opened);
  const auto loaded = LoadedWords(store.get());
  if (disk_->power_is_cut()) return absl::OkStatus();
  POMPC_RETURN_IF_ERROR(loaded.status());
  if (*loaded != contents_.back()) return absl::InternalError("another content than before");
  for (int group = 0; group < groups && !disk_->power_is_cut(); ++group) {
    workload_.Next([&](std::span<const StoreRecord> records) {
      for (const StoreRecord& record : records) {
        content_.Add(record);
        // A store keeps a grant back until other records come.
        unsettled_ |= !std::holds_alternative<GrantRecord>(record);
      }
      contents_.push_back(content_.words());
      store->Record(records);
    });
    store->WhenDurable([this, given = given()](const absl::Status& status) {
      if (status.ok()) durable_ = given;
    });
    // Some groups are written one by one, others several at once.
    if (random_.Below(3) != 0) POMPC_RETURN_IF_ERROR(AwaitDurable());
    if (options_.durability == Durability::kBackground && random_.Below(3) == 0) {
      POMPC_RETURN_IF_ERROR(Settle());
    }
  }
  return AwaitDurable();
}

absl::Status StoreMachine::AwaitDurable() {
  const bool done = Await([&] { return durable_ == given() || disk_->power_is_cut(); });
  return done ? absl::OkStatus() : absl::DeadlineExceededError("does not become durable");
}

absl::Status StoreMachine::Settle() {
  POMPC_RETURN_IF_ERROR(AwaitDurable());
  if (!std::exchange(unsettled_, false)) return absl::OkStatus();
  // The store's thread waits with something that is not on disk, until it is time; then it waits
  // again. A failure makes it wait as well.
  clock_.AwaitWaiters(1);
  if (disk_->power_is_cut()) return absl::OkStatus();
  const int64_t waits = clock_.waits();
  clock_.Advance(options_.sync_every);
  clock_.AwaitWaits(waits + 1);
  if (!disk_->power_is_cut()) settled_ = durable_;
  return absl::OkStatus();
}

absl::Status StoreMachine::Check(size_t at_least) {
  POMPC_ASSIGN_OR_RETURN(const std::unique_ptr<RocksStore> store, RocksStore::Open(options_));
  POMPC_ASSIGN_OR_RETURN(const std::set<std::string> loaded, LoadedWords(store.get()));
  for (size_t groups = at_least; groups < contents_.size(); ++groups) {
    if (loaded == contents_[groups]) return absl::OkStatus();
  }
  const std::set<std::string>& expected = contents_[at_least];
  std::vector<std::string> lost, added;
  std::set_difference(expected.begin(), expected.end(), loaded.begin(), loaded.end(),
                      std::back_inserter(lost));
  std::set_difference(loaded.begin(), loaded.end(), expected.begin(), expected.end(),
                      std::back_inserter(added));
  return absl::InternalError(absl::StrCat("compared with ", at_least, " of ", given(),
                                          " groups, lost: ", absl::StrJoin(lost, ", "),
                                          "; besides: ", absl::StrJoin(added, ", ")));
}

}  // namespace pompc::replay
