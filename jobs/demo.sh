#!/usr/bin/env bash
# The demonstration: sets up and builds; trains a small GPT on 4 ranks, kills it, restarts it on another grid and shows that
# the numbers are those of an undisturbed run; then the InstructGPT method in miniature over three seeds, and a PPO run that is
# killed in the middle.
#   bash jobs/demo.sh            runs/demo is written anew each time
set -euo pipefail
case "${1:-}" in
  '') ;;
  --help | -h) sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) echo "demo: it takes no arguments; usage: bash jobs/demo.sh" >&2; exit 64 ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/setup.sh
source tools/environment.sh
cmake --preset release --log-level=WARNING >/dev/null
cmake --build --preset release --target coxswain --parallel "$(nproc)"

program=build/release/coxswain
runs=runs/demo
rm -rf $runs
mkdir -p $runs/log
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

# killed STEPS RUN ARGUMENTS...: starts 4 ranks and ends all of them with SIGKILL once that many steps are done
killed() {
  local steps=$1 run=$2 job launcher code=0
  shift 2
  ranks 4 "$@" --run.directory="$run" &
  job=$!
  while kill -0 $job 2>/dev/null && [ "$(steps_done "$run")" -lt "$steps" ]; do sleep 0.1; done
  launcher=$(pgrep -P $job mpirun || echo $job)   # the shell that waits for mpirun, or mpirun itself
  pkill -KILL -P "$launcher" || { echo "demo: the ranks ended before they could be killed" >&2; exit 1; }
  wait $job 2>/dev/null || code=$?
  echo "   killed: mpirun ended with $code; checkpoints: $(ls "$run/checkpoints" | tr '\n' ' ')"
}

same_numbers() {  # same_numbers RUN OTHER
  if ! cmp "$1/metrics.jsonl" "$2/metrics.jsonl"; then
    echo "demo: the killed and restarted run has other numbers than the undisturbed one" >&2
    exit 1
  fi
  echo "   metrics.jsonl: all $(steps_done "$1") lines are the same, byte for byte; the last one:"
  tail -n 1 "$1/metrics.jsonl"
}

deck=(inputs/tiny/pretrain.ini --run.steps=120 --checkpoint.every=40
  --data.source=$runs/shakespeare.h5 --data.validation=$runs/shakespeare_validation.h5)

say 1/6 "Text becomes tokens: $runs/shakespeare.h5"
ranks 2 inputs/tiny/tokenize.ini --run.directory=$runs/tokenize --data.output=$runs/shakespeare.h5 \
  --data.validation=$runs/shakespeare_validation.h5

say 2/6 "Train on 4 ranks: tensor 2 x pipeline 2. SIGKILL to all ranks after half of the steps"
killed 65 $runs/killed "${deck[@]}" --grid.tensor=2 --grid.pipeline=2

say 3/6 "The same deck again, on another grid: data 2. It goes on from the newest checkpoint"
ranks 2 "${deck[@]}" --run.directory=$runs/killed --grid.data=2

say 4/6 "The same deck on one rank, undisturbed; then the two runs are compared"
ranks 1 "${deck[@]}" --run.directory=$runs/undisturbed
same_numbers $runs/killed $runs/undisturbed
"$program" --plot $runs/killed

say 5/6 "InstructGPT in miniature: base models, then for three seeds SFT, reward model, PPO and PPO-ptx"
bash jobs/miniature.sh 1 2 3

say 6/6 "PPO again, killed in the middle, restarted on another grid"
killed 50 $runs/killed_ppo inputs/tiny/ppo.ini --grid.tensor=2 --grid.data=2 >$runs/log/killed_ppo.txt 2>&1
tail -n 1 $runs/log/killed_ppo.txt
ranks 4 inputs/tiny/ppo.ini --run.directory=$runs/killed_ppo --grid.data=4 >>$runs/log/killed_ppo.txt 2>&1
same_numbers $runs/killed_ppo $runs/seed_1/ppo

printf '   (%s s)\n\nFor a browser: %s\n' $((SECONDS - step_started)) "$PWD/$runs/report.html"
echo "The demonstration took $((SECONDS - started)) s after the build."
