#ifndef POMPC_REPLAY_CORE_LIMITER_H_
#define POMPC_REPLAY_CORE_LIMITER_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/values/parameter_version.h"

namespace pompc::replay {

// One start of a run's learner. Copies of one run directory have the same run and may have the same
// incarnation; the token, drawn at random, tells their starts apart.
struct LearnerStart {
  uint64_t incarnation = 0;
  uint64_t token = 0;

  bool operator==(const LearnerStart&) const = default;
};

// What the learner has granted a shard.
struct RowGrant {
  // The most rows that the shard may have accepted in total.
  uint64_t max_accepted_rows = 0;
  // Why that is the bound, for those who wait.
  std::string reason;
  // Rows without a plan are refused from now on.
  bool seed_phase_over = false;
  // The learner's start, with the number of the newest version that it has published (0 before the
  // first). If absent, rows of any version are accepted.
  std::optional<ParameterVersion> newest_version = std::nullopt;
  // The incarnation of the newest lease that the learner has given. If absent, rows of any
  // incarnation are accepted.
  std::optional<uint64_t> newest_lease = std::nullopt;
};

// Decides from the learner's last grant how many rows a shard may take. It only decides: the caller
// does the waiting and passes in the present time. Not thread-safe.
class Limiter {
 public:
  // Grants come several times a second. When none has come for this long, the reason in the last
  // one may no longer be true.
  static constexpr absl::Duration kSilence = absl::Seconds(3);

  // The number of further rows that may be accepted by a shard that has accepted `accepted_rows` so
  // far.
  uint64_t Room(uint64_t accepted_rows) const {
    const uint64_t most = grant_.max_accepted_rows;
    return most > accepted_rows ? most - accepted_rows : 0;
  }

  // Notes that a message of the learner arrived at time `now`.
  void Heard(absl::Duration now) {
    POMPC_CHECK_GE(now, heard_at_, "time went back");
    heard_at_ = now;
  }

  // Replaces the grant. The bound on rows may also go down; the end of the seed phase stays, and a
  // lease that was given has been.
  void Grant(RowGrant grant, absl::Duration now) {
    Heard(now);
    grant.seed_phase_over |= grant_.seed_phase_over;
    if (grant.newest_lease.has_value()) {
      grant.newest_lease = std::max(*grant.newest_lease, grant_.newest_lease.value_or(0));
    }
    grant_ = std::move(grant);
    ++grants_;
  }

  // Restores what is known from before the shard was opened. The bound is that of the rows it has:
  // none is taken before the learner grants some, for it may have lowered the last bound.
  void Restore(uint64_t accepted_rows, bool seed_phase_over,
               std::optional<ParameterVersion> newest_version, absl::Duration now) {
    Heard(now);
    grant_ = {.max_accepted_rows = accepted_rows,
              .reason = "the shard was opened again, and the learner has granted nothing since",
              .seed_phase_over = seed_phase_over,
              .newest_version = newest_version,
              .newest_lease = 0};
  }

  // INVALID_ARGUMENT if the learner has announced a newer version than the grant does. Versions of
  // a start of the learner that comes later are newer.
  absl::Status Check(const RowGrant& grant) const {
    const std::optional<ParameterVersion>& before = grant_.newest_version;
    const std::optional<ParameterVersion>& now = grant.newest_version;
    if (!before.has_value() || !now.has_value() || *now >= *before) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("the grant says that version ", now->ToString(),
                                                   " is the newest one; an earlier grant knew ",
                                                   before->ToString()));
  }

  // True if the learner has published `version`, as far as the shard knows. A resumed learner has
  // published whatever its earlier starts have.
  bool IsPublished(ParameterVersion version) const {
    return !grant_.newest_version.has_value() || version <= *grant_.newest_version;
  }
  // True if the learner has given a lease with this incarnation, as far as the shard knows.
  bool IsLeased(uint64_t incarnation) const {
    return !grant_.newest_lease.has_value() || incarnation <= *grant_.newest_lease;
  }
  // True if the learner tells which leases it has given: those of release 0.1.0 do not.
  bool announces_leases() const { return grant_.newest_lease.has_value(); }
  // REQUIRES: IsPublished was false for some version.
  ParameterVersion newest_version() const {
    POMPC_CHECK(grant_.newest_version.has_value());
    return *grant_.newest_version;
  }

  // Notes that the shard has accepted `accepted_rows` rows in total. REQUIRES: the grant allows so
  // many.
  void Accepted(uint64_t accepted_rows) const {
    POMPC_CHECK_LE(accepted_rows, grant_.max_accepted_rows, "more rows than were granted");
  }

  // Why a writer waits at a shard that has accepted `accepted_rows`.
  std::string WhyBlocked(uint64_t accepted_rows, absl::Duration now) const {
    return absl::StrCat("shard took ", accepted_rows, " rows of ", grant_.max_accepted_rows,
                        " granted: ",
                        Silent(now)               ? SilenceText(now)
                        : Room(accepted_rows) > 0 ? "writers that wait longer get the others"
                                                  : grant_.reason);
  }

  // True if the learner has not been heard from for too long.
  bool Silent(absl::Duration now) const { return now - heard_at_ >= kSilence; }
  // Says how long the learner has been silent, for reasons that writers get.
  std::string SilenceText(absl::Duration now) const {
    return absl::StrCat("the learner has not been heard from for ",
                        absl::ToInt64Seconds(now - heard_at_), " s");
  }

  uint64_t max_accepted_rows() const { return grant_.max_accepted_rows; }
  bool seed_phase_over() const { return grant_.seed_phase_over; }
  // The newest version that the learner has announced; none: rows of any version are accepted.
  const std::optional<ParameterVersion>& announced() const { return grant_.newest_version; }
  // Grants received.
  uint64_t grants() const { return grants_; }

 private:
  RowGrant grant_{.reason = "the learner has granted nothing yet"};
  uint64_t grants_ = 0;
  absl::Duration heard_at_;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_LIMITER_H_
