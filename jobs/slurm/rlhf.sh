#!/usr/bin/env bash
# Submits a chain of jobs, each of which begins when the one before it has done all its steps:
#   bash jobs/slurm/rlhf.sh [sbatch options ...] -- DECK DECK ... [--section.key=value ...]
#   bash jobs/slurm/rlhf.sh --nodes=4 --ntasks-per-node=8 -- inputs/instructgpt/1.3b_{rm,sft,ppo_init,ppo_ptx}.ini
# Keys behind the decks go to all of them. Every job is pretrain.sbatch: near its time limit, when it is preempted and when
# it was killed it goes back into the queue and on from its checkpoint, and the chain waits. A job that fails for good (a
# deck that is refused, numbers that diverge) ends the chain: what comes after it is cancelled.
# LAUNCHER=pretrain_mpirun.sbatch starts the ranks by mpirun.
set -euo pipefail
usage() { sed -n '2,4s/^# \{0,1\}//p' jobs/slurm/rlhf.sh; }
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case " $* " in *' --help '* | *' -h '*) usage; exit 0 ;; esac

options=() decks=() keys=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
[ $# -gt 0 ] && shift
for word in "$@"; do
  case $word in --*) keys+=("$word") ;; *) decks+=("$word") ;; esac
done
if [ ${#decks[@]} -eq 0 ]; then
  usage >&2
  exit 64
fi
for deck in "${decks[@]}"; do
  [ -f "$deck" ] || { echo "rlhf.sh: $deck: no such deck; nothing was submitted" >&2; exit 64; }
done

before=
for deck in "${decks[@]}"; do
  name=$(basename "$deck" .ini)
  dependency=()
  [ -n "$before" ] && dependency=("--dependency=afterok:$before" --kill-on-invalid-dep=yes)
  before=$(sbatch --parsable --job-name="$name" "${dependency[@]}" "${options[@]}" \
    "jobs/slurm/${LAUNCHER:-pretrain.sbatch}" "$deck" "${keys[@]}")
  echo "$before  $name"
done
