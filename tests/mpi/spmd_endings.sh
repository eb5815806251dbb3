#!/usr/bin/env bash
# How jobs end: code of mpirun, how often the message is printed, and within which time.
# Usage: spmd_endings.sh MPIRUN PROGRAM
set -uo pipefail
mpirun=$1
program=$2
failures=0

# expect ENDING CODE TIMES MESSAGE: the job ends with CODE and prints MESSAGE (an extended regular expression) TIMES times.
expect() {
  local output code times
  output=$("$mpirun" --oversubscribe --bind-to none --timeout 60 -np 4 "$program" "$1" 2>&1)
  code=$?
  times=$(grep -cE "$4" <<<"$output")
  if [ "$code" != "$2" ] || [ "$times" != "$3" ]; then
    echo "FAILED: $1 gave code $code (expected $2) and printed '$4' $times times (expected $3):"
    echo "$output"
    failures=$((failures + 1))
  fi
}

expect finished 0 0 'coxswain'
expect requeue 75 0 'coxswain:'
expect one_rank_returns 76 0 'coxswain:'
expect usage 64 1 '^coxswain: the deck is wrong$'
expect diverged_everywhere 76 1 '^coxswain: the loss is NaN$'
expect usage_as_others_finish 64 1 '^coxswain: seen by one$'
place='rank 2 of 4 \(tensor 0 of 2, pipeline 0 of 1, data 1 of 2\) on [^ ]+'
expect usage_as_others_wait 65 1 "^coxswain: $place: seen by one$" # after ten seconds
start=$SECONDS
expect internal 70 1 "^coxswain: $place: the invariant is broken$"
expect disk_full 74 1 "^coxswain: $place: no space left$"
expect exception 70 1 "^coxswain: $place: a kernel refuses$"
if [ $((SECONDS - start)) -gt 25 ]; then
  echo "FAILED: three jobs with an error on one rank took $((SECONDS - start)) s"
  failures=$((failures + 1))
fi
# Alone it makes no folder of MPI's, which all ranks alone on a machine would share and take away from each other.
output=$(TMPDIR=/dev/null "$program" usage 2>&1)
code=$?
if [ "$code" != 64 ] || [ "$(grep -c ^ <<<"$output")" != 1 ] || [[ $output != "coxswain: [grid] tensor"* ]]; then
  echo "FAILED: one rank alone, without a folder for temporary files, gave code $code:"
  echo "$output"
  failures=$((failures + 1))
fi
exit $((failures > 0))
