#ifndef POMPC_PARAMETERS_PUBLISHER_H_
#define POMPC_PARAMETERS_PUBLISHER_H_

#include <cstddef>
#include <memory>
#include <set>
#include <vector>

#include "common/base/version_store.h"
#include "parameters/parameter_snapshot.h"

namespace pompc::parameters {

struct PublisherOptions {
  Clock* clock = Clock::Real();
  // The most versions that are held because of their keep_seconds, beside the newest. When there
  // are more, the oldest is dropped.
  size_t max_kept = 8;
};

// Holds what subscribers are to get: the newest snapshot, and those published with keep_seconds
// until that time is over. Decides what comes next for each subscriber, and tells subscribers when
// there is more. Knows nothing of RPCs. Thread-safe; nothing blocks beyond a short critical
// section.
class Publisher {
 public:
  // Whoever wants to know about publications. Held weakly: a listener that is gone is forgotten.
  class Listener {
   public:
    virtual ~Listener() = default;
    // Called when Next() may return more and when the publisher was closed, on the publishing
    // thread without locks held. Must not block.
    virtual void OnPublished() = 0;
  };

  // What one subscriber has been given. Owned by the subscriber, which calls Next() from one thread
  // at a time.
  struct Cursor {
    // Newest version the subscriber holds.
    ParameterVersion have;

   private:
    friend class Publisher;
    bool started = false;
    std::set<ParameterVersion> kept_sent;
  };

  explicit Publisher(const PublisherOptions& options = {})
      : store_(options.clock, options.max_kept) {}

  // Makes `snapshot` the newest and tells the listeners. With description.keep_seconds > 0 it
  // remains available for that long after newer ones came. REQUIRES: its version is greater than
  // that of every snapshot before.
  void Publish(ParameterSnapshot snapshot);

  // What the subscriber is to get next, or null when it has everything: first the newest version
  // (so that a new planner can serve at once), then the kept ones it was not given on this cursor,
  // oldest first, then whatever is newest. Versions between are skipped.
  std::shared_ptr<const ParameterSnapshot> Next(Cursor* cursor);

  // Null before the first publication.
  std::shared_ptr<const ParameterSnapshot> Newest() const { return store_.Newest(); }
  // The newest or a kept snapshot with this version, else null.
  std::shared_ptr<const ParameterSnapshot> Find(ParameterVersion version) const {
    return store_.Find(version);
  }

  void AddListener(std::weak_ptr<Listener> listener);

  // Makes closed() true from now on and tells the listeners. Idempotent.
  void Close();
  bool closed() const;

 private:
  void NotifyListeners();

  // Safe by itself; what is put into it is ordered by publishing_.
  VersionStore<ParameterSnapshot> store_;
  // Held while a version is added. Another mutex than mu_: a version that the store drops is
  // destroyed meanwhile, and subscribers need not wait for that.
  Mutex publishing_;

  mutable Mutex mu_;
  std::vector<std::weak_ptr<Listener>> listeners_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pompc::parameters

#endif  // POMPC_PARAMETERS_PUBLISHER_H_
