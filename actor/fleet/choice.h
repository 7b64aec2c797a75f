#ifndef POMPC_ACTOR_FLEET_CHOICE_H_
#define POMPC_ACTOR_FLEET_CHOICE_H_

#include <optional>
#include <random>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace pompc::actor {

// A run that takes actors of a fleet.
struct FleetRun {
  std::string run_id;
  // Environments that act for it, and those that it has use for; the latter above 0.
  double environments = 0;
  double wanted = 1;
};

// Decides which run an actor with so many environments serves next, as its position in `runs`;
// `current` is the run that it serves, and counts it among its environments, or empty.
//
// Each actor decides by itself, with what runs have told lately, so that nobody has to be asked. A
// run's quota is one actor and its part of all further environments, in proportion to what it wants
// beyond that actor. An actor without a run takes one at random, with the chances of what runs lack
// of their quotas. One with a run leaves it only if that has too much, by more than most of an
// actor and a tenth, and with a probability at which half of what is too much leaves at each
// decision of all: more would come back. Where there are fewer actors than runs, quotas are in
// proportion to what is wanted, and actors take turns: a run that has nobody lets them leave others
// that have less than an actor too much.
//
// Nothing if there are no runs. REQUIRES: own > 0; numbers of runs are finite.
std::optional<size_t> ChooseRun(absl::Span<const FleetRun> runs, absl::string_view current,
                                double own, std::mt19937_64& random);

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_FLEET_CHOICE_H_
