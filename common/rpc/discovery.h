#ifndef POMPC_COMMON_RPC_DISCOVERY_H_
#define POMPC_COMMON_RPC_DISCOVERY_H_

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/threads.h"
#include "common/rpc/endpoint.h"

// Finds the replicas of a service that come and go while a client runs: the addresses that a name
// stands for, or those in a file.

namespace pompc::rpc {

// A place where replicas are found.
struct Place {
  enum class Kind {
    kEndpoint,  // one that stays
    kName,      // each address that the host's name stands for
    kFile,      // each endpoint and name in a file
  };

  // Every endpoint is a place; lists of them are lists of places.
  Place(Endpoint fixed)  // NOLINT(google-explicit-constructor)
      : kind(Kind::kEndpoint), endpoint(std::move(fixed)) {}
  Place(Kind searched, std::string where, Trust trusted = {})
      : kind(searched), text(std::move(where)), trust(std::move(trusted)) {}

  Kind kind;
  Endpoint endpoint;
  // "host:port", or the file's path.
  std::string text;
  // That of the endpoints which are found there.
  Trust trust;
};

// Reads places that are separated by commas: as ParseEndpoints, where "host:port" whose host is no
// numerical address is a name (also as "dns:///host:port"), and "@PATH" or "file:PATH" is a file.
// INVALID_ARGUMENT as ParseEndpoints.
absl::StatusOr<std::vector<Place>> ParsePlaces(absl::string_view flag, absl::string_view text,
                                               const Trust& trust = {});

// The numerical addresses of a host, IPv6 in brackets, sorted. Where it has addresses of both
// families, those of IPv4: they are the same replicas twice. UNAVAILABLE saying why it cannot be
// looked up. Blocks, for some seconds where name servers do not answer.
absl::StatusOr<std::vector<std::string>> LookUpHost(const std::string& host);

using HostLookUp = std::function<absl::StatusOr<std::vector<std::string>>(const std::string& host)>;

// The endpoints at some places, as they were found last. Not thread-safe, no clock.
class PlaceList {
 public:
  // Most endpoints in a list; those beyond are left out, and the problem says so.
  static constexpr size_t kMostEndpoints = 1024;
  static constexpr size_t kMostFileBytes = size_t{1} << 20;

  explicit PlaceList(std::vector<Place> places) : places_(std::move(places)) {}

  // True if Refresh can find anything else.
  bool changes() const;
  // Looks at all places again. What cannot be looked up or read now, or names no endpoint, stays as
  // it was. Blocks.
  void Refresh(const HostLookUp& look_up);
  // The endpoints, each address once, in the order of the places.
  const std::vector<Endpoint>& endpoints() const { return endpoints_; }
  // Why some place was not found at the last Refresh; empty if all were.
  const std::string& problem() const { return problem_; }

 private:
  // Endpoints and names.
  std::vector<Place> Searched() const;
  void ReadFiles();
  void LookUpNames(const std::vector<Place>& searched, const HostLookUp& look_up);
  void Note(const absl::Status& status);

  const std::vector<Place> places_;
  // What each file and each name gave last.
  std::map<std::string, std::vector<Place>> files_;
  std::map<std::string, std::vector<Endpoint>> names_;
  std::vector<Endpoint> endpoints_;
  std::string problem_;
};

struct DiscoveryOptions {
  // What is found, for the log.
  std::string service = "server";
  // The pause between two lookups.
  absl::Duration interval = absl::Seconds(2);
  HostLookUp look_up = LookUpHost;
  Clock* clock = Clock::Real();
};

// Keeps the endpoints at some places up to date and tells those who watch it. Where all places are
// endpoints that stay, nothing is ever looked up; otherwise it owns a thread, which looks all of
// them up, one after the other, with a pause between two times. Thread-safe.
class Discovery {
 public:
  // Called with the whole list, within Watch() and then whenever it has changed. Must neither block
  // nor call the discovery.
  using Listener = std::function<void(const std::vector<Endpoint>&)>;

  Discovery(std::vector<Place> places, DiscoveryOptions options);
  // Waits for a lookup in progress. REQUIRES: nobody watches any more.
  ~Discovery();

  // Tells the listener until the handle is gone: then no call of it is in progress.
  class Watcher {
   public:
    ~Watcher();
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;

   private:
    friend class Discovery;
    Watcher(Discovery* discovery, std::list<Listener>::iterator listener)
        : discovery_(discovery), listener_(listener) {}

    Discovery* const discovery_;
    const std::list<Listener>::iterator listener_;
  };
  std::unique_ptr<Watcher> Watch(Listener listener);

  // Why the list may be out of date; empty if it is not.
  std::string problem() const;

 private:
  void Run();
  void Publish();

  const DiscoveryOptions options_;
  Event stop_;
  // Used by the thread, once there is one.
  PlaceList places_;

  mutable Mutex mu_;
  std::vector<Endpoint> endpoints_ ABSL_GUARDED_BY(mu_);
  std::string problem_ ABSL_GUARDED_BY(mu_);
  std::list<Listener> listeners_ ABSL_GUARDED_BY(mu_);

  // Last: it uses all of the above.
  Thread thread_;
};

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_DISCOVERY_H_
