#include "actor/core/mailbox.h"

#include "common/base/check.h"

namespace pompc::actor {

Mailbox::Mailbox(int first, int count, Clock* clock)
    : first_(first), clock_(clock), open_(count, -1) {
  letters_.reserve(count);
}

Letter* Mailbox::Open(int slot) {
  POMPC_CHECK_GE(slot, 0);
  POMPC_CHECK_LT(slot, static_cast<int>(open_.size()));
  if (open_[slot] < 0) {
    open_[slot] = static_cast<int>(letters_.size());
    letters_.emplace_back();
    letters_.back().slot = slot;
    // The taker waits only while there is no letter, so that only the first one has to wake it.
    if (letters_.size() == 1) changed_.Signal();
  }
  return &letters_[open_[slot]];
}

void Mailbox::OnPlans(std::span<const int> slots, const absl::Status& status) {
  // The time is taken at arrival, so that a busy worker does not add to the measured latency.
  const absl::Duration now = clock_->Now();
  MutexLock lock(&mu_);
  for (const int slot : slots) {
    Letter* letter = Open(slot);
    POMPC_CHECK(!letter->plan_done, "a query is answered once");
    letter->plan_done = true;
    letter->plan_status = status;
    letter->plan_time = now;
  }
}

void Mailbox::OnRoom(int environment) {
  MutexLock lock(&mu_);
  Open(environment - first_)->room = true;
}

void Mailbox::OnRefused(int environment, const absl::Status& why) {
  MutexLock lock(&mu_);
  Open(environment - first_)->refusal = why;
}

void Mailbox::Wake() {
  MutexLock lock(&mu_);
  woken_ = true;
  changed_.Signal();
}

void Mailbox::Take(absl::Duration deadline, std::vector<Letter>* letters) {
  letters->clear();
  MutexLock lock(&mu_);
  while (letters_.empty() && !woken_) {
    if (!clock_->WaitUntil(&changed_, &mu_, deadline)) break;
  }
  woken_ = false;
  // The two vectors are swapped, so that their memory is reused from round to round.
  letters->swap(letters_);
  for (const Letter& letter : *letters) open_[letter.slot] = -1;
}

}  // namespace pompc::actor
