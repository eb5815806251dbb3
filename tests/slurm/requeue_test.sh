#!/usr/bin/env bash
# The job scripts under a real two-node Slurm: finishing, refusal, USR1, preemption and the time limit; srun and mpirun.
#   requeue_test.sh PROGRAM WORK_FOLDER
# Exits with 4 and a reason where no Slurm can run.
set -uo pipefail
program=$(realpath "$1")
work=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.." || exit 1
source tools/environment.sh
export OMP_NUM_THREADS=1 COXSWAIN=$program

reason=$("$here/cluster.sh" check) || { echo "skipped: $reason"; exit 4; }
exec 9>/tmp/coxswain-slurm.lock
flock -w 300 9 || { echo "skipped: another Slurm test holds /tmp/coxswain-slurm.lock"; exit 4; }

cluster=$(mktemp -d /tmp/cxs.XXXXXX)
trap '"$here/cluster.sh" stop "$cluster" 9>&-' EXIT
rm -rf "$work" && mkdir -p "$work"
"$here/cluster.sh" start "$cluster" 2 4 9>&- || { tail -n 20 "$cluster"/log/*.log; exit 1; }
export SLURM_CONF=$cluster/slurm.conf
failures=0

fail() { echo "FAILED: $*"; failures=$((failures + 1)); }

submit() {  # submit NAME SCRIPT STEPS [sbatch options -- program options]: prints the job's number
  local name=$1 script=$2 steps=$3 options=()
  shift 3
  while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
  [ $# -gt 0 ] && shift
  sbatch --parsable --job-name="$name" --nodes=2 --ntasks-per-node=1 --time=20 --output="$work/$name.out" "${options[@]}" \
    "jobs/slurm/$script" tests/slurm/train.ini --run.directory="$work/$name" --run.steps="$steps" "$@"
}

lines() { if [ -f "$1" ]; then wc -l <"$1"; else echo 0; fi; }

wait_lines() {  # wait_lines NAME N: until the run has done N steps
  local tries
  for ((tries = 0; tries < 600; tries++)); do
    [ "$(lines "$work/$1/metrics.jsonl")" -ge "$2" ] && return
    sleep 0.1
  done
  fail "$1: not even $2 steps in a minute"
}

wait_end() {  # wait_end JOB SECONDS: until it is neither running nor pending
  local state left=$2
  while [ "$left" -gt 0 ]; do
    state=$(scontrol show job "$1" | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p')
    case $state in PENDING | RUNNING | COMPLETING | REQUEUED | CONFIGURING) ;; *) return ;; esac
    sleep 1
    left=$((left - 1))
  done
  fail "job $1 is still $state after $2 s"
  scancel "$1"
}

# The accounting's last word on a job, after its database has been told.
accounted() { sacct -X -n -P -j "$1" -o State,ExitCode; }

expect_code() {  # expect_code JOB NAME STATE CODE
  local seen left
  for ((left = 20; left > 0; left--)); do
    seen=$(accounted "$1")
    [ "$seen" = "$3|$4:0" ] && return
    sleep 0.5
  done
  fail "$2: sacct says '$seen', not '$3|$4:0'"
}

expect_saved() {  # expect_saved JOB NAME: an earlier start ended with "saved, requeue me"
  sacct -D -n -P -j "$1" -o JobID,ExitCode | grep -qx "$1.batch|75:0" || fail "$2: sacct shows no start that ended with 75"
}

expect_run() {  # expect_run JOB NAME STEPS STARTS: finished, all steps once, so many starts in one output file
  local starts steps
  expect_code "$1" "$2" COMPLETED 0
  steps=$(sed -n 's/.*"step": *\([0-9]*\).*/\1/p' "$work/$2/metrics.jsonl" | tr '\n' ' ')
  [ "$steps" = "$(seq -s ' ' "$3") " ] || fail "$2: metrics.jsonl does not hold the steps 1 to $3: $steps"
  starts=$(grep -c "^job $1, start" "$work/$2.out")
  [ "$starts" -ge "$4" ] || fail "$2: $starts starts in $2.out, not $4"
  [ "$(sed -n "s/^job $1, start \([0-9]*\).*/\1/p" "$work/$2.out" | tr '\n' ' ')" = "$(seq -s ' ' "$starts") " ] ||
    fail "$2: the output of an earlier start is lost"
  echo "$2: $3 steps in $starts starts"
}

source "$here/requeue_cases.sh"
[ $failures = 0 ] || { echo; tail -n 40 "$work"/*.out; sacct -D -X -P -o JobID,JobName,State,ExitCode; }
exit $((failures > 0))
