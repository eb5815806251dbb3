#!/usr/bin/env bash
# The job scripts under a real two-node Slurm: finishing, refusal, USR1, preemption and the time limit; srun and mpirun.
#   requeue_test.sh PROGRAM WORK_FOLDER
# Exits with 4 and a reason where no Slurm can run.
set -uo pipefail
program=$(realpath "$1")
work=$2
emulated=$(dirname "$program")/tests/coxswain_emulated
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

fail() { echo "FAILED: $*" | tee -a "$work/failures"; }  # also in what runs beside the cases

submit() {  # submit NAME SCRIPT STEPS [sbatch options -- program options]: prints the job's number
  local name=$1 script=$2 steps=$3 options=()
  shift 3
  while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
  [ $# -gt 0 ] && shift
  sed "s/^steps = .*/steps = $steps/" tests/slurm/train.ini >"$work/$name.ini"
  sbatch --parsable --job-name="$name" --nodes=2 --ntasks-per-node=1 --time=20 --output="$work/$name.out" "${options[@]}" \
    "jobs/slurm/$script" "$work/$name.ini" --run.directory="$work/$name" "$@"
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

state_of() { scontrol show job "$1" | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p'; }

# A run has no end until it was interrupted; while it waits for its next start its deck is given one, 30 steps on.
wait_requeued() {  # wait_requeued JOB NAME SECONDS
  local tries
  for ((tries = 0; tries < 5 * $3; tries++)); do
    if [ "$(state_of "$1")" = PENDING ]; then
      sed -i "s/^steps = .*/steps = $(($(lines "$work/$2/metrics.jsonl") + 30))/" "$work/$2.ini"
      return
    fi
    sleep 0.2
  done
  fail "$2: not requeued in $3 s but $(state_of "$1")"
  scancel "$1"
}

wait_end() {  # wait_end JOB SECONDS: until it is neither running nor pending
  local state left=$2
  while [ "$left" -gt 0 ]; do
    state=$(state_of "$1")
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

expect_run() {  # expect_run JOB NAME STARTS: finished, each step once, so many starts in one output file
  local starts seen steps
  expect_code "$1" "$2" COMPLETED 0
  steps=$(sed -n 's/^steps = //p' "$work/$2.ini")
  seen=$(sed -n 's/.*"step": *\([0-9]*\).*/\1/p' "$work/$2/metrics.jsonl" | tr '\n' ' ')
  [ "$seen" = "$(seq -s ' ' "$steps") " ] || fail "$2: metrics.jsonl does not hold the steps 1 to $steps: $seen"
  starts=$(sed -n "s/^job $1, start \([0-9]*\).*/\1/p" "$work/$2.out" | tr '\n' ' ')
  [ "$starts" = "$(seq -s ' ' "$3") " ] || fail "$2: starts '$starts' in $2.out, not 1 to $3"
  echo "$2: $steps steps in $3 starts"
}

source "$here/requeue_cases.sh"
wait
[ ! -s "$work/failures" ] || { echo; tail -n 15 "$work"/*.out; sacct -D -P -o JobID,JobName,State,ExitCode; }
[ ! -s "$work/failures" ]
