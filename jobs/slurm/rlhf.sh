#!/usr/bin/env bash
# Submits a chain of jobs, each of which begins when the one before it has done all its steps:
#   bash jobs/slurm/rlhf.sh [sbatch options ...] -- DECK DECK ... [--section.key=value ...]
#   bash jobs/slurm/rlhf.sh --nodes=4 --ntasks-per-node=8 -- inputs/instructgpt/1.3b_{rm,sft,ppo_init,ppo_ptx}.ini
# Keys behind the decks go to all of them. Every job is pretrain.sbatch: near its time limit, when it is preempted and when
# it was killed it goes back into the queue and on from its checkpoint, and the chain waits. A job that fails for good (a
# deck that is refused, numbers that diverge) ends the chain: what comes after it is cancelled.
# LAUNCHER=pretrain_mpirun.sbatch starts the ranks by mpirun. A --dependency of yours is what the first job waits for.
set -euo pipefail
usage() { sed -n '2,4s/^# \{0,1\}//p' jobs/slurm/rlhf.sh; }
folder=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case " $* " in *' --help '* | *' -h '*) usage; exit 0 ;; esac

refuse() { echo "rlhf.sh: $1; nothing was submitted" >&2; exit 64; }

options=() decks=() keys=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
[ $# -gt 0 ] && shift
for word in "$@"; do
  case $word in
    --*) keys+=("$word") ;;
    *)
      if [[ $word != /* && -f $folder/$word ]]; then word=$folder/$word; fi
      [ -f "$word" ] || refuse "$word: no such deck"
      decks+=("$word") ;;
  esac
done
if [ ${#decks[@]} -eq 0 ]; then
  usage >&2
  exit 64
fi
launcher=jobs/slurm/${LAUNCHER:-pretrain.sbatch}
[ -f "$launcher" ] || refuse "$launcher: no such job script"

before=
for deck in "${decks[@]}"; do
  name=$(basename "$deck" .ini)
  # Behind the user's options: sbatch takes the last one of a kind.
  dependency=()
  [ -n "$before" ] && dependency=("--dependency=afterok:$before" --kill-on-invalid-dep=yes)
  job=$(sbatch --parsable --job-name="$name" "${options[@]}" "${dependency[@]}" "$launcher" "$deck" "${keys[@]}") || {
    code=$?
    echo "rlhf.sh: $name was not submitted, nor what comes after it${before:+; the jobs above are in the queue}" >&2
    exit $code
  }
  before=${job%%;*}   # on a federation: JOB;CLUSTER
  echo "$before  $name"
done
