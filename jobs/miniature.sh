#!/usr/bin/env bash
# The miniature InstructGPT: base models of plays and of a careless forum, then for each seed fine-tuning, a reward model, PPO,
# PPO-ptx, and a PPO that nothing holds back. A gold judge that training never sees measures every one of them.
#   bash jobs/miniature.sh [SEED ...]      default: 1 2 3. It needs a built program. What is finished in runs/demo stays.
# The first seed runs on 4 ranks; the others side by side on one rank each, since the numbers do not depend on the grid.
set -euo pipefail
for seed in "$@"; do
  case $seed in
    --help | -h) sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *[!0-9]* | '') echo "miniature: $seed is no seed; usage: bash jobs/miniature.sh [SEED ...]" >&2; exit 64 ;;
  esac
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/environment.sh

program=${COXSWAIN:-build/release/coxswain}
runs=runs/demo
task=$runs/task
inputs=inputs/tiny
seeds=("$@")
[ $# -gt 0 ] || seeds=(1 2 3)
large=(--model.layers=4 --model.hidden=192 --model.heads=6)   # base_large.ini's shape
np=4
began=$SECONDS
mkdir -p $runs/log $task

ranks() {  # ranks NAME DECK [KEYS ...]: on $np ranks; what the program says goes to log/NAME.txt
  local name=$1 log=$runs/log/${1//\//_}.txt
  shift
  OMP_NUM_THREADS=1 mpirun -np $np "$program" "$@" --grid.data=$np >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; echo "miniature: $name failed, see $log" >&2; exit 1; }
}

finished() { [ -f "$1/FINISHED" ]; }

# train NAME DECK [KEYS ...]: what is finished stays
train() {
  local started=$SECONDS
  if finished "$runs/$1"; then return; fi
  ranks "$1" "$inputs/$2.ini" --run.directory="$runs/$1" "${@:3}"
  printf '   %-22s %4d s\n' "$1" $((SECONDS - started))
}

respond() {  # respond NAME MODEL PROMPTS OUTPUT SEED [KEYS ...]: a response to each line
  ranks "$1.generate" $inputs/generate.ini --run.directory="$runs/$1.generate" --run.initialize_from="$2" \
    --generate.prompts="$3" --generate.output="$4" --run.seed="$5" "${@:6}"
}

# judge NAME MODEL [KEYS ...]: the gold judge's view of the model's responses to the test prompts, several to each: with one the
# share of its gain that PPO-ptx keeps would be uncertain by 4 points a seed
judge() {
  local prompts=$task/prompts_test.jsonl
  if [ -f "$runs/$1.gold.txt" ]; then return; fi
  case $1 in *_shot) prompts=$task/prompts_test_shot.jsonl ;; esac
  respond "$1" "$2" $prompts "$runs/$1.responses.jsonl" 7 --generate.samples=4 "${@:3}"
  python3 inputs/miniature/judge.py "$runs/$1.responses.jsonl" "$runs/$1.gold.jsonl" >"$runs/$1.gold.txt.new"
  mv "$runs/$1.gold.txt.new" "$runs/$1.gold.txt"
  printf '   %-22s        gold judge %s\n' "$1" "$(sed -n 's/^score *//p' "$runs/$1.gold.txt")"
}

plays() {  # plays NAME MODEL [KEYS ...]: how well the model still knows the plays
  if finished "$runs/$1.text"; then return; fi
  ranks "$1.text" $inputs/evaluate.ini --run.directory="$runs/$1.text" --run.initialize_from="$2" --evaluate.prompts= \
    --evaluate.opponent= --evaluate.reference= --evaluate.output= --evaluate.reward_model= "${@:3}"
}

write_texts() {
  if [ -f $task/plays.h5 ]; then return; fi
  python3 inputs/miniature/make_data.py $task 1
  tokenize vocabulary vocabulary "$task/forum.jsonl, $inputs/shakespeare.txt" --model.vocabulary=512
  tokenize forum tokenize $task/forum.jsonl --data.separator=
  tokenize plays tokenize $inputs/shakespeare.txt
}

tokenize() {  # tokenize NAME PHASE TEXT [KEYS ...]
  OMP_NUM_THREADS=1 "$program" $inputs/tokenize.ini --run.phase="$2" --run.directory="$runs/tokenize_$1" \
    --data.input="$3" --data.tokenizer=gpt2 --data.vocabulary_file=$task/vocabulary.json \
    --data.merges_file=$task/merges.txt --data.output="$task/$1.h5" --data.validation="$task/$1_validation.h5" \
    "${@:4}" >"$runs/log/tokenize_$1.txt"
}

# The fine-tuned model responds several times to each prompt; labelers rank what they are shown.
compare() {  # compare SEED FOLDER
  local each
  if [ -f "$2/ceiling.txt" ]; then return; fi
  for each in reward reward_test; do
    respond "seed_$1/$each" "$2/sft" $task/prompts_$each.jsonl "$2/$each.jsonl" "$1"
  done
  rank training "$2/reward.jsonl" "$2/comparisons.jsonl" "$1" >"$2/ceiling_train.txt"
  rank held_out "$2/reward_test.jsonl" "$2/comparisons_others.jsonl" "$1" >"$2/ceiling_others.txt"
  rank training "$2/reward_test.jsonl" "$2/comparisons_test.jsonl" "$1" >"$2/ceiling.txt"
}
rank() { python3 inputs/miniature/labelers.py "$@"; }

align() {  # align SEED
  local here=$runs/seed_$1 model step
  mkdir -p "$here"
  local policy=(--run.initialize_from="$here/sft" --ppo.reward_model="$here/reward" --run.seed="$1")
  train "seed_$1/sft" sft --run.seed="$1"
  judge "seed_$1/sft" "$here/sft"
  compare "$1" "$here"
  train "seed_$1/reward" reward --run.seed="$1" --run.initialize_from="$here/sft" \
    --reward.comparisons="$here/comparisons.jsonl" \
    --reward.validation="$here/comparisons_test.jsonl, $here/comparisons_others.jsonl"
  for model in ppo ppo_ptx; do
    train "seed_$1/$model" $model "${policy[@]}"
    judge "seed_$1/$model" "$here/$model"
  done
  train "seed_$1/free" ppo "${policy[@]}" --ppo.kl_coefficient=0.005 --checkpoint.every=20 --checkpoint.keep=0
  for step in "$here"/free/checkpoints/step_*; do judge "seed_$1/free_${step##*_}" "$step"; done
  for model in sft ppo ppo_ptx; do plays "seed_$1/$model" "$here/$model"; done
}

bases() {  # side by side
  local model
  np=1
  train base base &
  train base_large base_large
  wait $!
  np=4
  for model in base base_large; do
    local shape=()
    if [ $model = base_large ]; then shape=("${large[@]}"); fi
    judge $model $runs/$model "${shape[@]}"
    judge ${model}_shot $runs/$model --batch.length=80 "${shape[@]}"
    plays $model $runs/$model "${shape[@]}"
  done
}

others() {  # others SEED ...: side by side, as many as there are cores
  local seed jobs=()
  np=1
  for seed in "$@"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    align "$seed" &
    jobs+=($!)
  done
  for seed in "${jobs[@]}"; do wait "$seed"; done
}

write_texts
bases
align "${seeds[0]}"
others "${seeds[@]:1}"
if finished $runs/seed_1/ppo_ptx && ! finished $runs/seed_1/evaluate; then ranks evaluate $inputs/evaluate.ini; fi

python3 tools/miniature_report.py $runs "${seeds[@]}"
echo "The miniature took $((SECONDS - began)) s."
