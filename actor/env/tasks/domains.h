#ifndef POMPC_ACTOR_ENV_TASKS_DOMAINS_H_
#define POMPC_ACTOR_ENV_TASKS_DOMAINS_H_

#include <vector>

#include "actor/env/task.h"

namespace pompc::env {

// The tasks of each domain; each is defined in the file of the domain's name.
std::vector<TaskDefinition> AcrobotTasks();
std::vector<TaskDefinition> BallInCupTasks();
std::vector<TaskDefinition> CartpoleTasks();
std::vector<TaskDefinition> CheetahTasks();
std::vector<TaskDefinition> DogTasks();
std::vector<TaskDefinition> FingerTasks();
std::vector<TaskDefinition> FishTasks();
std::vector<TaskDefinition> HopperTasks();
std::vector<TaskDefinition> HumanoidTasks();
std::vector<TaskDefinition> InvertedPendulumTasks();
std::vector<TaskDefinition> PendulumTasks();
std::vector<TaskDefinition> QuadrupedTasks();
std::vector<TaskDefinition> ReacherTasks();
std::vector<TaskDefinition> WalkerTasks();

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_TASKS_DOMAINS_H_
