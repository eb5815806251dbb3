#!/usr/bin/env bash
# A small Slurm cluster on this machine, for tests. Each node is a host of its own (network, hostname, shared memory, IPC)
# on a private bridge; accounting goes to a database of its own. Nothing outside FOLDER is written, no service is touched.
#   cluster.sh check                     says why a cluster cannot be started here (exit 1), or nothing
#   cluster.sh start FOLDER [NODES] [CPUS_A_NODE]    then: export SLURM_CONF=FOLDER/slurm.conf
#   cluster.sh stop FOLDER
set -euo pipefail
bridge=cxsbr0
net=10.213.78

check() {
  local tool
  [ "$(id -u)" = 0 ] || { echo "not root"; return 1; }
  for tool in slurmctld slurmd slurmdbd sbatch munged mariadbd ip nsenter; do
    PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null || { echo "$tool is not installed (tools/setup.sh --slurm)"; return 1; }
  done
  ip netns add cxsprobe 2>/dev/null || { echo "network namespaces are not allowed here"; return 1; }
  ip netns del cxsprobe
}

wait_for() {  # wait_for SECONDS TEXT COMMAND...: until the command succeeds
  local left=$1 what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ $left -gt 0 ] || { echo "cluster.sh: no $what" >&2; return 1; }
    sleep 1
  done
}

stop() {
  local root=$1 node pid
  for pid in "$root"/run/slurmd-*.pid "$root"/run/{slurmctld,slurmdbd,mariadbd,munged}.pid; do
    if [ -f "$pid" ]; then kill "$(cat "$pid")" 2>/dev/null || true; fi
  done
  sleep 1
  remove_network
  rm -rf "$root"
}

remove_network() {
  local node
  for node in /run/netns/cxsnode*; do
    [ -e "$node" ] || continue
    ip netns pids "${node##*/}" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
    ip netns del "${node##*/}"
  done
  ip link del $bridge 2>/dev/null || true
}

start_accounting() {
  local root=$1
  dd if=/dev/urandom of="$root/munge.key" bs=1024 count=1 status=none
  chmod 400 "$root/munge.key"
  munged --force --key-file="$root/munge.key" --socket="$root/run/munge.socket" --pid-file="$root/run/munged.pid" \
    --log-file="$root/log/munged.log" --seed-file="$root/run/munged.seed" 2>/dev/null
  mariadb-install-db --no-defaults --user=root --datadir="$root/database" --auth-root-authentication-method=normal \
    --skip-test-db --force --skip-name-resolve >"$root/log/mariadb-install.log" 2>&1
  mariadbd --no-defaults --user=root --datadir="$root/database" --socket="$root/run/mariadb.socket" --port=16820 \
    --bind-address=127.0.0.1 --pid-file="$root/run/mariadbd.pid" --innodb-buffer-pool-size=32M \
    --innodb-lock-wait-timeout=900 >"$root/log/mariadbd.log" 2>&1 &
  wait_for 60 "database" mariadb --no-defaults --socket="$root/run/mariadb.socket" -e \
    "create user if not exists slurm@'127.0.0.1' identified by 'slurm'; grant all on *.* to slurm@'127.0.0.1'"
  cat >"$root/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$root/run/munge.socket
DbdHost=localhost
DbdPort=16819
SlurmUser=root
PidFile=$root/run/slurmdbd.pid
LogFile=$root/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=16820
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
CONF
  chmod 600 "$root/slurmdbd.conf"
}

write_slurm_conf() {
  local root=$1 nodes=$2 cpus=$3 node
  {
    # cred_expire: a requeued job waits so long, two minutes by default.
    cat <<CONF
ClusterName=coxswain
SlurmctldHost=$(hostname -s)($net.1)
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$root/run/munge.socket,cred_expire=5
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool/%n
SlurmctldPidFile=$root/run/slurmctld.pid
SlurmdPidFile=$root/run/slurmd-%n.pid
SlurmctldLogFile=$root/log/slurmctld.log
SlurmdLogFile=$root/log/slurmd-%n.log
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=16819
AccountingStoragePass=$root/run/munge.socket
JobAcctGatherType=jobacct_gather/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=pmix
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=30
MinJobAge=3600
CONF
    for ((node = 0; node < nodes; node++)); do
      echo "NodeName=cxsnode$node NodeAddr=$net.$((10 + node)) CPUs=$cpus RealMemory=2000 Gres=gpu:2 State=UNKNOWN"
    done
    echo "PartitionName=batch Nodes=ALL Default=YES MaxTime=60 State=UP PriorityTier=1"
    echo "PartitionName=urgent Nodes=ALL MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF"
  } >"$root/slurm.conf"
  echo "PMIxCliTmpDirBase=$root/node-local" >"$root/mpi.conf"
  # GPUs in name only: Slurm hands them out, and nothing opens their files.
  printf 'Name=gpu File=%s\n' /dev/zero /dev/full >"$root/gres.conf"
}

start_node() {
  local root=$1 node=$2
  mkdir -p "$root/spool/cxsnode$node"
  ip netns add "cxsnode$node"
  ip link add "cxsv$node" type veth peer name eth0 netns "cxsnode$node"
  ip link set "cxsv$node" master $bridge up
  ip -n "cxsnode$node" link set lo up
  ip -n "cxsnode$node" addr add "$net.$((10 + node))/24" dev eth0
  ip -n "cxsnode$node" link set eth0 up
  ip -n "cxsnode$node" route add default via $net.1
  nsenter --net="/var/run/netns/cxsnode$node" unshare --uts --ipc --mount bash -c "
    hostname cxsnode$node
    mount -t tmpfs tmpfs /dev/shm
    mount -t tmpfs tmpfs $root/node-local
    slurmd -N cxsnode$node"
}

start() {
  local root=$1 nodes=${2:-2} cpus=${3:-4} node
  mkdir -p "$root"/{state,spool,log,run,node-local,database}
  chmod 755 "$root"
  export SLURM_CONF=$root/slurm.conf
  write_slurm_conf "$root" "$nodes" "$cpus"
  start_accounting "$root"
  slurmdbd
  wait_for 60 "accounting" sacctmgr -i add cluster coxswain
  remove_network   # of a cluster whose test was killed
  ip link add $bridge type bridge
  ip addr add $net.1/24 dev $bridge
  ip link set $bridge up
  slurmctld
  for ((node = 0; node < nodes; node++)); do start_node "$root" $node; done
  wait_for 60 "idle nodes" bash -c "[ \"\$(sinfo -h -p batch -t idle -o %D)\" = $nodes ]"
}

export PATH=$PATH:/usr/sbin:/sbin
"$@"
