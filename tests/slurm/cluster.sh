#!/usr/bin/env bash
# A real SLURM on this machine: partitions cpu and gpu (two fake GPUs), one node of one CPU each; no systemd, no
# accounting. The nodes live in a network of their own that reaches the controller and nothing else.
# Usage, as root: cluster.sh up|down|controller-up|controller-down FOLDER
set -euo pipefail

mark="# written by matwheel's tests/slurm/cluster.sh"
folder=$(realpath -m "$2")
network=$(basename "$folder")

install_slurm() {
  command -v slurmctld slurmd squeue munged runuser nsenter ip >/dev/null && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    slurmctld slurmd slurm-client munge iproute2 >/dev/null
}

# 10.77.0.1 is this machine (login node and controller), 10.77.0.2 the compute nodes; no route leads on.
cut_nodes_off() {
  [ ! -e "/run/netns/$network" ] || return 0
  ip netns add "$network"
  ip link add to-nodes type veth peer name to-controller
  ip link set to-controller netns "$network"
  ip addr add 10.77.0.1/30 dev to-nodes
  ip link set to-nodes up
  ip netns exec "$network" ip addr add 10.77.0.2/30 dev to-controller
  ip netns exec "$network" ip link set to-controller up
  ip netns exec "$network" ip link set lo up
}

# The configuration must lie in /etc/slurm: the executor hands no SLURM_* variable to the srun inside a job.
configure() {
  if [ -e /etc/slurm/slurm.conf ] && ! grep -qxF "$mark" /etc/slurm/slurm.conf; then
    echo "cluster.sh: /etc/slurm/slurm.conf belongs to another cluster; run the tests on a machine without one" >&2
    exit 1
  fi
  mkdir -p "$folder"/{state,spool/cpu1,spool/gpu1,log,run,dev} /run/munge /etc/slurm
  # A GPU counts only with a character device: these are copies of /dev/null.
  for gpu in 0 1; do [ -e "$folder/dev/nvidia$gpu" ] || mknod "$folder/dev/nvidia$gpu" c 1 3; done
  cat >/etc/slurm/slurm.conf <<CONF
$mark
ClusterName=matwheel
SlurmctldHost=localhost(10.77.0.1)
SlurmUser=root
SlurmctldPort=16817
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# Without cgroups this is what enforces memory: sampled every second.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
# For a day scontrol tells what a job asked for and how it ended.
MinJobAge=86400
KillWait=5
GresTypes=gpu
NodeName=cpu1 NodeHostname=localhost NodeAddr=10.77.0.2 Port=17001 CPUs=1 RealMemory=32000 Feature=avx512
NodeName=gpu1 NodeHostname=localhost NodeAddr=10.77.0.2 Port=17002 CPUs=1 RealMemory=32000 Gres=gpu:a100:2 Feature=gpu80gb
PartitionName=cpu Nodes=cpu1 Default=YES
PartitionName=gpu Nodes=gpu1
CONF
  printf 'AutoDetect=off\nNodeName=gpu1 Name=gpu Type=a100 File=%s\n' "$folder/dev/nvidia[0-1]" >/etc/slurm/gres.conf
}

start_munge() {
  munge --no-input >/dev/null 2>&1 && return
  chown munge: /run/munge
  rm -f /run/munge/*
  runuser -u munge -- munged
  cp /run/munge/munged.pid "$folder/run/munged.pid"
}

# End the process of a pid file and wait until it is gone.
stop() {
  [ -e "$1" ] || return 0
  local pid
  pid=$(cat "$1")
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  rm -f "$1"
}

wait_until_idle() {
  for _ in $(seq 80); do
    [ "$(sinfo --noheader --Node --format=%t 2>/dev/null | sort -u)" = idle ] && return
    sleep 0.25
  done
  echo "cluster.sh: the nodes do not become idle; see $folder/log" >&2
  exit 1
}

case $1 in
  up)
    install_slurm
    configure
    start_munge
    cut_nodes_off
    slurmctld
    # Not `ip netns exec`, which hides the cgroups that slurmd looks for.
    for node in cpu1 gpu1; do nsenter --net="/run/netns/$network" slurmd -N "$node"; done
    wait_until_idle
    sinfo --Node --format="%N %P %t %c %m %G"
    ;;
  down)
    scancel --user="$(id -u)" 2>/dev/null || true
    for daemon in slurmd.cpu1 slurmd.gpu1 slurmctld munged; do stop "$folder/run/$daemon.pid"; done
    ip netns del "$network" 2>/dev/null || true
    if grep -qxF "$mark" /etc/slurm/slurm.conf 2>/dev/null; then rm /etc/slurm/slurm.conf /etc/slurm/gres.conf; fi
    ;;
  controller-down) stop "$folder/run/slurmctld.pid" ;;
  controller-up) slurmctld ;;
  *)
    echo "usage: cluster.sh up|down|controller-up|controller-down FOLDER" >&2
    exit 2
    ;;
esac
