#!/usr/bin/env bash
# jobs/slurm/rlhf.sh with an sbatch that only writes down what it is asked for: each job waits for the one before it, the first
# for what the user says; decks of the user's folder; what is refused before anything is submitted; a queue that says no.
#   bash chain_test.sh WORK
set -uo pipefail
work=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rm -rf "$work"
mkdir -p "$work/bin"
cat >"$work/bin/sbatch" <<'END'
#!/usr/bin/env bash
n=$(cat "$JOBS" 2>/dev/null | wc -l)
[ "$n" -lt "${MOST:-99}" ] || { echo "sbatch: error: too many jobs" >&2; exit 1; }
dependency=none
for word in "$@"; do case $word in --dependency=*) dependency=${word#*=} ;; *.ini) deck=$word ;; esac; done
echo "$((n + 1)) waits for $dependency: $deck" >>"$JOBS"
echo "$((n + 1))"
END
chmod +x "$work/bin/sbatch"
export PATH="$work/bin:$PATH" JOBS="$work/jobs"
touch "$work/first.ini" "$work/second.ini"
failures=0
fail() { echo "FAILED: $1"; failures=$((failures + 1)); }

# chain CODE LINES ARGUMENTS...: what is submitted from the user's folder, and how it ends
chain() {
  local code=$1 lines=$2 ended=0
  shift 2
  rm -f "$JOBS"
  (cd "$work" && bash "$root/jobs/slurm/rlhf.sh" "$@") >"$work/said" 2>&1 || ended=$?
  [ "$ended" -eq "$code" ] || fail "$*: code $ended, not $code: $(cat "$work/said")"
  [ "$(cat "$JOBS" 2>/dev/null)" = "$lines" ] || fail "$*: submitted $(cat "$JOBS" 2>/dev/null)"
}

chain 0 "1 waits for none: $work/first.ini
2 waits for afterok:1: $work/second.ini
3 waits for afterok:2: inputs/tiny/ppo.ini" --nodes=2 -- first.ini second.ini inputs/tiny/ppo.ini --run.steps=3
chain 0 "1 waits for afterok:77: $work/first.ini
2 waits for afterok:1: $work/second.ini" --nodes=2 --dependency=afterok:77 -- first.ini second.ini
chain 64 "" -- first.ini third.ini
grep -q "third.ini: no such deck; nothing was submitted" "$work/said" || fail "a deck that is not there: $(cat "$work/said")"
LAUNCHER=none.sbatch chain 64 "" -- first.ini
MOST=1 chain 1 "1 waits for none: $work/first.ini" -- first.ini second.ini
grep -q "second was not submitted.*the jobs above are in the queue" "$work/said" || fail "a full queue: $(cat "$work/said")"

[ $failures -eq 0 ] && echo "chains of jobs as they should be"
exit $((failures > 0))
