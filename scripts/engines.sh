# shellcheck shell=bash
# Engines that start processes, for the scripts that show on them what is deployed: Docker with Compose and Swarm, and a
# Slurm of one node, which is started for it. Sourced after lib.sh, never run. Files of engines go into the folder $work.

docker_answers() {
  docker info >/dev/null 2>&1 && return
  echo "No Docker engine answers: nothing to check${1:+ of $1}."
  return 1
}

# Either kind of Compose.
docker_compose() {
  if command -v docker-compose >/dev/null; then docker-compose "$@"; else docker compose "$@"; fi
}

joined=""
# This machine is a swarm of one node from then on, unless it is in a swarm already.
join_swarm() {
  [[ "$(docker info --format '{{.Swarm.LocalNodeState}}')" == inactive ]] || return 0
  docker swarm init --advertise-addr 127.0.0.1 >/dev/null
  joined=1
}

# It is none again, if join_swarm made it one.
leave_swarm() {
  if [[ -n "$joined" ]]; then docker swarm leave --force >/dev/null || true; fi
  joined=""
}

readonly SLURM_PACKAGES=(slurmctld slurmd slurm-client munge)
daemons=()

install_slurm() {
  apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${SLURM_PACKAGES[@]}"
}

slurm_is_installed() {
  local program
  for program in munged slurmctld slurmd sbatch; do
    command -v "$program" >/dev/null && continue
    echo "There is no $program here (packages ${SLURM_PACKAGES[*]}): nothing to check${1:+ of $1}."
    return 1
  done
  [[ "$(id -u)" == 0 ]] || die "needs root, as slurmd does"
}

start_daemon() {
  "$@" >"$work/$(basename "$1").out" 2>&1 &
  daemons+=($!)
}

# A node that says it has enough CPUs for all steps; the partition `urgent` preempts those of `batch`.
write_slurm_config() {
  local host controller
  host="$(hostname -s)"
  pick_port; controller=$port
  pick_port
  cat >"$work/slurm.conf" <<CONF
ClusterName=check
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller
SlurmdPort=$port
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket,cred_expire=10
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=60
NodeName=localhost NodeHostname=$host NodeAddr=127.0.0.1 CPUs=16 State=UNKNOWN
PartitionName=batch Nodes=localhost Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=localhost MaxTime=INFINITE State=UP PriorityTier=10
CONF
}

start_slurm() {
  export SLURM_CONF="$work/slurm.conf"
  mkdir -m 755 "$work/state" "$work/spool"
  dd if=/dev/urandom of="$work/munge.key" bs=1024 count=1 status=none
  chmod 400 "$work/munge.key"
  write_slurm_config
  start_daemon munged --foreground --force --key-file="$work/munge.key" --socket="$work/munge.socket" \
    --pid-file="$work/munged.pid" --log-file="$work/munged.log" --seed-file="$work/munged.seed"
  await "munged listens" test -S "$work/munge.socket"
  start_daemon slurmctld -D
  start_daemon slurmd -D -N localhost
  await "the node is idle" node_is_idle
}

node_is_idle() { [[ "$(sinfo -h -p batch -o %T 2>/dev/null)" == idle ]]; }

# stop_slurm JOB: ends the job, if it is not empty, and then what start_slurm started.
stop_slurm() {
  local pid attempt
  (( ${#daemons[@]} > 0 )) || return 0
  [[ -z "$1" ]] || scancel "$1" 2>/dev/null || true
  for (( attempt = 0; attempt < 60; attempt++ )); do
    [[ -n "$(squeue -h 2>/dev/null)" ]] || break
    sleep 1
  done
  for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null || true; done
  for (( attempt = 0; attempt < 30; attempt++ )); do
    [[ -n "$(jobs -pr)" ]] || break
    sleep 1
  done
  for pid in $(jobs -pr); do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  daemons=()
}

# What Slurm says of a job: job_field JOB JobState, of each element of an array in a line of its own.
job_field() { scontrol show job "$1" 2>/dev/null | sed -n "s/.*\\b$2=\\([A-Za-z0-9]*\\).*/\\1/p"; }
