#!/usr/bin/env bash
# The miniature InstructGPT: a base model of plays and of a careless forum, then for each seed fine-tuning, a reward model,
# PPO and PPO-ptx. A gold judge that training never sees measures every one of them; a table at the end says what came out.
#   bash jobs/miniature.sh [SEED ...]      default: 1. It needs a built program. What is finished in runs/miniature stays.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/environment.sh

program=${COXSWAIN:-build/release/coxswain}
runs=runs/miniature
task=$runs/task
seeds=("$@")
[ $# -gt 0 ] || seeds=(1)
began=$SECONDS
mkdir -p $runs/log

ranks() {  # ranks NAME DECK [KEYS ...]: on 4 ranks; what the program says goes to log/NAME.txt
  local name=$1 started=$SECONDS log=$runs/log/${1//\//_}.txt
  shift
  OMP_NUM_THREADS=1 mpirun -np 4 "$program" "$@" --grid.data=4 >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; echo "miniature: $name failed, see $log" >&2; exit 1; }
  printf '   %-24s %4d s\n' "$name" $((SECONDS - started))
}

respond() {  # respond NAME MODEL PROMPTS OUTPUT SEED: a response to each line
  ranks "$1" inputs/tiny/respond.ini --run.directory="$runs/$1" --run.initialize_from="$2" --generate.prompts="$3" \
    --generate.output="$4" --run.seed="$5"
}

# measure NAME MODEL: the gold judge's view of the model's responses to the test prompts, and the plays' perplexity
measure() {
  [ -f "$runs/$1.gold.txt" ] && return
  respond "$1.test" "$2" $task/prompts_test.jsonl "$runs/$1.responses.jsonl" 7
  python3 inputs/miniature/judge.py "$runs/$1.responses.jsonl" "$runs/$1.gold.jsonl" >"$runs/$1.gold.txt.tmp"
  ranks "$1.text" inputs/tiny/evaluate.ini --run.directory="$runs/$1.text" --run.initialize_from="$2" --evaluate.prompts= \
    --evaluate.opponent= --evaluate.reference= --evaluate.output= --evaluate.reward_model=
  mv "$runs/$1.gold.txt.tmp" "$runs/$1.gold.txt"
}

finished() { [ -f "$1/FINISHED" ]; }

# The fine-tuned model responds several times to each prompt; labelers rank what they are shown.
compare() {  # compare SEED FOLDER
  local each
  for each in reward reward_test; do
    respond "seed_$1/$each" "$2/sft" $task/prompts_$each.jsonl "$2/$each.jsonl" "$1"
  done
  python3 inputs/miniature/labelers.py training "$2/reward.jsonl" "$2/comparisons.jsonl" "$1" >"$2/ceiling_train.txt"
  python3 inputs/miniature/labelers.py training "$2/reward_test.jsonl" "$2/comparisons_test.jsonl" "$1" >"$2/ceiling.txt"
}

if [ ! -f $task/forum.h5 ]; then
  python3 inputs/miniature/make_data.py $task 1
  OMP_NUM_THREADS=1 "$program" inputs/tiny/tokenize.ini --run.directory=$runs/tokenize --data.input=$task/forum.txt \
    --data.output=$task/forum.h5 --data.validation=$task/forum_validation.h5 >$runs/log/tokenize.txt
fi
finished $runs/base || ranks base inputs/tiny/base.ini
measure base $runs/base

for seed in "${seeds[@]}"; do
  echo "-- seed $seed"
  here=$runs/seed_$seed
  mkdir -p "$here"
  policy=(--run.initialize_from="$here/sft" --ppo.reward_model="$here/reward" --run.seed="$seed")
  finished "$here/sft" || ranks "seed_$seed/sft" inputs/tiny/sft.ini --run.directory="$here/sft" --run.seed="$seed"
  [ -f "$here/ceiling.txt" ] || compare "$seed" "$here"
  finished "$here/reward" || ranks "seed_$seed/reward" inputs/tiny/reward.ini --run.directory="$here/reward" \
    --run.seed="$seed" --run.initialize_from="$here/sft" --reward.comparisons="$here/comparisons.jsonl" \
    --reward.validation="$here/comparisons_test.jsonl"
  finished "$here/ppo" || ranks "seed_$seed/ppo" inputs/tiny/ppo.ini --run.directory="$here/ppo" "${policy[@]}"
  finished "$here/ppo_ptx" || ranks "seed_$seed/ppo_ptx" inputs/tiny/ppo_ptx.ini --run.directory="$here/ppo_ptx" "${policy[@]}"
  for model in sft ppo ppo_ptx; do measure "seed_$seed/$model" "$here/$model"; done
done

python3 tools/miniature_table.py $runs "${seeds[@]}"
echo "The miniature took $((SECONDS - began)) s."
