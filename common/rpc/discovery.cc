#include "common/rpc/discovery.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <resolv.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/io/files.h"
#include "common/process/log.h"

namespace pompc::rpc {
namespace {

bool IsNumerical(const std::string& host) {
  in_addr four;
  in6_addr six;
  // The brackets of IPv6 have a zone within them on some machines, which only names lack.
  return absl::StartsWith(host, "[") || inet_pton(AF_INET, host.c_str(), &four) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &six) == 1;
}

std::string HostOf(const std::string& address) { return address.substr(0, address.rfind(':')); }
std::string PortOf(const std::string& address) { return address.substr(address.rfind(':') + 1); }

Place ToPlace(const Endpoint& endpoint) {
  std::string address = endpoint.address();
  const bool dns = absl::StartsWith(address, "dns:///");
  if (dns) address = address.substr(7);
  const bool scheme = absl::StrContains(address, ":///") || absl::StartsWith(address, "unix:");
  if (scheme || !absl::StrContains(address, ':') || IsNumerical(HostOf(address))) return endpoint;
  return Place(Place::Kind::kName, address, endpoint.trust());
}

std::string FilePath(absl::string_view part) {
  if (!absl::ConsumePrefix(&part, "@") && !absl::ConsumePrefix(&part, "file:")) return "";
  return std::string(part);
}

absl::StatusOr<std::vector<Place>> ReadPlaces(const std::string& path, const Trust& trust) {
  // A pipe would hold up all lookups for as long as nobody writes to it.
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no regular file"));
  }
  POMPC_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, PlaceList::kMostFileBytes));
  std::vector<Place> places;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = line.substr(0, line.find('#'));
    for (absl::string_view part : absl::StrSplit(line, absl::ByAnyChar(", \t\r"))) {
      if (part.empty()) continue;
      POMPC_ASSIGN_OR_RETURN(const auto endpoints, ParseEndpoints(path, part, trust));
      places.push_back(ToPlace(endpoints.front()));
    }
  }
  if (places.empty()) {
    return absl::UnavailableError(absl::StrCat(path, " names no address"));
  }
  return places;
}

}  // namespace

absl::StatusOr<std::vector<Place>> ParsePlaces(absl::string_view flag, absl::string_view text,
                                               const Trust& trust) {
  std::vector<Place> places;
  std::vector<std::string> addresses;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    part = absl::StripAsciiWhitespace(part);
    if (std::string path = FilePath(part); !path.empty()) {
      places.emplace_back(Place::Kind::kFile, std::move(path), trust);
    } else {
      addresses.emplace_back(part);
    }
  }
  if (addresses.empty()) return places;
  // Files come after the addresses; an order means nothing among replicas.
  POMPC_ASSIGN_OR_RETURN(const auto endpoints,
                         ParseEndpoints(flag, absl::StrJoin(addresses, ","), trust));
  std::vector<Place> all;
  std::transform(endpoints.begin(), endpoints.end(), std::back_inserter(all), ToPlace);
  std::move(places.begin(), places.end(), std::back_inserter(all));
  return all;
}

absl::StatusOr<std::vector<std::string>> LookUpHost(const std::string& host) {
  // The C library alone would wait for five seconds, twice, for each name server. What is set here
  // holds for this thread, until the settings are read again.
  if (res_init() == 0) {
    _res.retrans = 1;
    _res.retry = 2;
  }
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot look up ", host, ": ",
                     error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error)));
  }
  std::set<std::string> four, six;
  for (const addrinfo* it = found; it != nullptr; it = it->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(it->ai_addr, it->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) !=
        0) {
      continue;
    }
    if (it->ai_family == AF_INET) four.insert(text);
    if (it->ai_family == AF_INET6) six.insert(absl::StrCat("[", text, "]"));
  }
  freeaddrinfo(found);
  const std::set<std::string>& chosen = four.empty() ? six : four;
  if (chosen.empty()) return absl::UnavailableError(absl::StrCat(host, " has no address"));
  return std::vector<std::string>(chosen.begin(), chosen.end());
}

bool PlaceList::changes() const {
  return std::any_of(places_.begin(), places_.end(),
                     [](const Place& place) { return place.kind != Place::Kind::kEndpoint; });
}

// The first problem; those after it often follow from it.
void PlaceList::Note(const absl::Status& status) {
  if (!status.ok() && problem_.empty()) problem_ = std::string(status.message());
}

void PlaceList::Refresh(const HostLookUp& look_up) {
  problem_.clear();
  ReadFiles();
  const std::vector<Place> searched = Searched();
  LookUpNames(searched, look_up);
  endpoints_.clear();
  std::set<std::string> addresses;
  size_t left_out = 0;
  const auto add = [&](const Endpoint& endpoint) {
    // Those of this process have no address of their own.
    const bool is_new =
        endpoint.address() == Endpoint::kInProcess || addresses.insert(endpoint.address()).second;
    if (!is_new) return;
    if (endpoints_.size() < kMostEndpoints) {
      endpoints_.push_back(endpoint);
    } else {
      ++left_out;
    }
  };
  for (const Place& place : searched) {
    if (place.kind == Place::Kind::kEndpoint) {
      add(place.endpoint);
      continue;
    }
    for (const Endpoint& endpoint : names_[place.text]) add(endpoint);
  }
  if (left_out > 0) {
    Note(absl::ResourceExhaustedError(
        absl::StrCat(left_out, " addresses are left out: there are more than ", kMostEndpoints)));
  }
}

void PlaceList::ReadFiles() {
  for (const Place& place : places_) {
    if (place.kind != Place::Kind::kFile) continue;
    absl::StatusOr<std::vector<Place>> read = ReadPlaces(place.text, place.trust);
    Note(read.status());
    if (read.ok()) files_[place.text] = *std::move(read);
  }
}

std::vector<Place> PlaceList::Searched() const {
  std::vector<Place> searched;
  for (const Place& place : places_) {
    if (place.kind != Place::Kind::kFile) {
      searched.push_back(place);
    } else if (const auto it = files_.find(place.text); it != files_.end()) {
      searched.insert(searched.end(), it->second.begin(), it->second.end());
    }
  }
  return searched;
}

void PlaceList::LookUpNames(const std::vector<Place>& searched, const HostLookUp& look_up) {
  std::map<std::string, std::vector<Endpoint>> names;
  for (const Place& place : searched) {
    const std::string& name = place.text;
    if (place.kind != Place::Kind::kName || names.contains(name)) continue;
    names[name] = names_[name];
    const absl::StatusOr<std::vector<std::string>> found = look_up(HostOf(name));
    Note(found.status());
    if (!found.ok()) continue;
    names[name].clear();
    for (const std::string& host : *found) {
      names[name].emplace_back(absl::StrCat(host, ":", PortOf(name)), name, place.trust);
    }
  }
  names_ = std::move(names);
}

Discovery::Discovery(std::vector<Place> places, DiscoveryOptions options)
    : options_(std::move(options)), places_(std::move(places)) {
  if (places_.changes()) {
    thread_ = Thread("discovery", [this] { Run(); });
  } else {
    places_.Refresh(options_.look_up);
    MutexLock lock(&mu_);
    endpoints_ = places_.endpoints();
  }
}

Discovery::~Discovery() {
  stop_.Set();
  thread_.Join();
  MutexLock lock(&mu_);
  POMPC_CHECK(listeners_.empty(), "nobody watches any more");
}

void Discovery::Run() {
  while (!stop_.IsSet()) {
    places_.Refresh(options_.look_up);
    Publish();
    stop_.WaitUntil(options_.clock, options_.clock->Now() + options_.interval);
  }
}

// Under the lock, so that a watcher that is gone is told nothing more.
void Discovery::Publish() {
  MutexLock lock(&mu_);
  if (problem_ != places_.problem()) {
    problem_ = places_.problem();
    if (!problem_.empty()) Log().warn("{}s: {}", options_.service, problem_);
  }
  const std::vector<Endpoint>& now = places_.endpoints();
  if (endpoints_ == now) return;
  const auto log = [&](const auto& these, const auto& those, const char* what) {
    for (const Endpoint& it : these) {
      if (std::find(those.begin(), those.end(), it) != those.end()) continue;
      Log().info("{} {} {}", options_.service, it.address(), what);
    }
  };
  log(now, endpoints_, "was found");
  log(endpoints_, now, "is no longer in the list");
  endpoints_ = now;
  for (const Listener& listener : listeners_) listener(endpoints_);
}

std::unique_ptr<Discovery::Watcher> Discovery::Watch(Listener listener) {
  MutexLock lock(&mu_);
  listener(endpoints_);
  const auto it = listeners_.insert(listeners_.end(), std::move(listener));
  return std::unique_ptr<Watcher>(new Watcher(this, it));
}

Discovery::Watcher::~Watcher() {
  MutexLock lock(&discovery_->mu_);
  discovery_->listeners_.erase(listener_);
}

std::string Discovery::problem() const {
  MutexLock lock(&mu_);
  return problem_;
}

}  // namespace pompc::rpc
