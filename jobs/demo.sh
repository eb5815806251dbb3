#!/usr/bin/env bash
# The demonstration: sets up, builds, then trains a small GPT on Shakespeare's plays on 4 ranks, kills the job, restarts it
# on another grid, and shows that the numbers are those of a run on one rank that nothing disturbed.
#   bash jobs/demo.sh            runs/demo is written anew each time
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/setup.sh
source tools/environment.sh
cmake --preset release --log-level=WARNING >/dev/null
cmake --build --preset release --target coxswain --parallel "$(nproc)"

program=build/release/coxswain
runs=runs/demo
deck=inputs/tiny/pretrain.ini
tokens=("--data.source=$runs/shakespeare.h5" "--data.validation=$runs/shakespeare_validation.h5")
rm -rf $runs
mkdir -p $runs
started=$SECONDS
step_started=$SECONDS

say() {  # say NUMBER TEXT: begins a step of the demonstration
  if [ -n "${shown:-}" ]; then echo "   ($((SECONDS - step_started)) s)"; fi
  shown=yes
  step_started=$SECONDS
  printf '\n== %s  %s\n' "$1" "$2"
}

ranks() {  # ranks N ARGUMENTS...: N ranks, each on its share of the cores
  local n=$1 threads=$(($(nproc) / $1))
  shift
  OMP_NUM_THREADS=$((threads > 0 ? threads : 1)) mpirun -np "$n" "$program" "$@"
}

steps_done() { if [ -f "$1/metrics.jsonl" ]; then wc -l <"$1/metrics.jsonl"; else echo 0; fi; }

say 1/6 "Text becomes tokens: $runs/shakespeare.h5"
ranks 2 inputs/tiny/tokenize.ini --run.directory=$runs/tokenize --data.output=$runs/shakespeare.h5 \
  --data.validation=$runs/shakespeare_validation.h5

say 2/6 "Train on 4 ranks: tensor 2 x pipeline 2. SIGKILL to all ranks after half of the steps"
total=$(sed -n 's/^steps *= *\([0-9]*\).*/\1/p' $deck)
ranks 4 $deck --run.directory=$runs/killed --grid.tensor=2 --grid.pipeline=2 "${tokens[@]}" &
job=$!
while kill -0 $job 2>/dev/null && [ "$(steps_done $runs/killed)" -lt $((total / 2 + 5)) ]; do sleep 0.2; done
launcher=$(pgrep -P $job mpirun || echo $job)   # the shell that waits for mpirun, or mpirun itself
pkill -KILL -P "$launcher" || { echo "demo: the ranks ended before they could be killed" >&2; exit 1; }
code=0
wait $job 2>/dev/null || code=$?
echo "   killed: mpirun ended with $code; checkpoints: $(ls $runs/killed/checkpoints | tr '\n' ' ')"

say 3/6 "The same deck again, on another grid: data 2. It goes on from the newest checkpoint"
ranks 2 $deck --run.directory=$runs/killed --grid.data=2 "${tokens[@]}"

say 4/6 "The same deck on one rank, undisturbed"
ranks 1 $deck --run.directory=$runs/undisturbed "${tokens[@]}"

say 5/6 "Compare the two runs"
if cmp $runs/killed/metrics.jsonl $runs/undisturbed/metrics.jsonl; then
  echo "   metrics.jsonl: all $(steps_done $runs/killed) lines are the same, byte for byte; the last one:"
  tail -n 1 $runs/killed/metrics.jsonl
else
  echo "demo: the killed and restarted run has other numbers than the undisturbed one" >&2
  exit 1
fi

say 6/6 "What the model writes"
ranks 1 inputs/tiny/generate.ini --run.directory=$runs/generate --run.initialize_from=$runs/killed

printf '   (%s s)\n\n' $((SECONDS - step_started))
"$program" --plot $runs/killed
printf '\nThe report, for a browser: %s\n' "$PWD/$runs/killed/report.html"
echo "The demonstration took $((SECONDS - started)) s after the build."
