#!/usr/bin/env bash
# InstructGPT's phases on your own preferences and instructions: a small model of them is pre-trained and fine-tuned, a reward
# model learns from the pairs, PPO follows it, and a table says what came out on pairs and prompts that were held out.
#   bash jobs/hh.sh PREFERENCES.jsonl INSTRUCTIONS [TEXT]
# PREFERENCES: records with "chosen" and "rejected", hh-rlhf's transcripts or any other form of inputs/data_formats.md.
# INSTRUCTIONS: demonstrations in any form of that page. TEXT: plain text, pre-trained on as well. Each may be several files,
# separated by commas, with wildcards. It needs a built program and some 10 minutes on two cores. RUNS (default runs/hh) is
# where all goes; what is finished there stays. RANKS (2, or 1 or 4) share the work. PRETRAIN_STEPS and PPO_STEPS: how long.
set -euo pipefail

usage() { sed -n '2,9s/^# //p' "${BASH_SOURCE[0]}"; }
case " $* " in *' --help '* | *' -h '*) usage; exit 0 ;; esac
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
  usage >&2
  exit 64
fi

absolute() {  # absolute LIST: each of the files with its whole path
  local list=() each
  IFS=, read -ra parts <<<"$1"
  for each in "${parts[@]}"; do list+=("$(realpath -ms -- "$(sed 's/^ *//; s/ *$//' <<<"$each")")"); done
  (IFS=,; echo "${list[*]}")
}
preferences=$(absolute "$1") instructions=$(absolute "$2") text=${3:+$(absolute "$3")}

# Before anything remembers their names.
IFS=, read -ra parts <<<"$preferences,$instructions${text:+,$text}"
for part in "${parts[@]}"; do
  [ -e "$part" ] || compgen -G "$part" >/dev/null || { echo "hh: $part: no such file" >&2; exit 65; }
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/environment.sh
program=${COXSWAIN:-build/release/coxswain}
runs=${RUNS:-runs/hh}
count=${RANKS:-2}
data=$runs/data
threads=$(($(nproc) / count))
began=$SECONDS
mkdir -p "$data" "$runs/log"

files="$preferences | $instructions | $text"
[ -f "$runs/files.txt" ] || echo "$files" >"$runs/files.txt"
if [ "$(cat "$runs/files.txt")" != "$files" ]; then
  echo "hh: $runs is of other files, $(cat "$runs/files.txt"): remove it, or give another folder as RUNS" >&2
  exit 64
fi

run() {  # run NAME DECK [KEYS ...]: unless it is finished; what the program says goes to log/NAME.txt
  local name=$1 deck=inputs/hh/$2.ini log=$runs/log/$1.txt started=$SECONDS
  shift 2
  [ ! -f "$runs/$name/FINISHED" ] || return 0
  OMP_NUM_THREADS=$((threads > 0 ? threads : 1)) mpirun -np "$count" "$program" "$deck" --run.directory="$runs/$name" \
    "$@" >"$log" 2>&1 || { code=$?; tail -n 30 "$log" >&2; echo "hh: $name failed, see $log" >&2; exit $code; }
  printf '   %-24s %4d s\n' "$name" $((SECONDS - started))
}

vocabulary=(--data.vocabulary_file="$data/vocabulary.json" --data.merges_file="$data/merges.txt")
demonstrations=(--prepare.input="$instructions" --prepare.kind=demonstrations --prepare.validation= --prepare.test=
  --prepare.validation_share=0 --prepare.test_share=0)
part() { echo "$data/pairs_$1.jsonl"; }

# Whole conversations, for the vocabulary and the language model; then what fits into the model's context.
run prepare_whole prepare "${demonstrations[@]}" --data.tokenizer=bytes --prepare.max_prompt_tokens=1000000 \
  --prepare.max_response_tokens=1000000 --prepare.output="$data/whole_demonstrations.jsonl"
run vocabulary vocabulary "${vocabulary[@]}" --data.input="$data/whole_demonstrations.jsonl"
run prepare_demonstrations prepare "${vocabulary[@]}" "${demonstrations[@]}" --prepare.output="$data/demonstrations.jsonl"
run prepare_pairs prepare "${vocabulary[@]}" --prepare.input="$preferences" --prepare.kind=comparisons \
  --prepare.output="$(part 1)" --prepare.validation="$(part 2)" --prepare.test="$(part 3)"

# No pair is in the text: whatever begins with the language model may hold any of them out.
run tokenize tokenize "${vocabulary[@]}" --data.input="$data/whole_demonstrations.jsonl" \
  --data.output="$data/instructions.h5" --data.validation="$data/held_out.h5"
mixture="$data/instructions.h5"
if [ -n "$text" ]; then
  run tokenize_text tokenize "${vocabulary[@]}" --data.input="$text" --data.output="$data/text.h5" --data.validation= \
    --data.validation_share=0
  mixture="$mixture:0.75,$data/text.h5:0.25"
fi
run pretrain pretrain ${PRETRAIN_STEPS:+--run.steps=$PRETRAIN_STEPS} --data.source="$mixture" \
  --data.validation="$data/held_out.h5"
run sft sft "${vocabulary[@]}" --run.initialize_from="$runs/pretrain" --sft.validation="$(part 3)" \
  --sft.demonstrations="$data/demonstrations.jsonl,$(part 1),$(part 2)"

reward() {  # reward NUMBER PART PART HELD_OUT
  run "reward_$1" reward "${vocabulary[@]}" --run.initialize_from="$runs/pretrain" --reward.reference="$(part "$2")" \
    --reward.comparisons="$(part "$2"),$(part "$3")" --reward.validation="$(part "$4")"
}
reward 1 1 2 3
reward 2 1 3 2
reward 3 2 3 1

run ppo ppo "${vocabulary[@]}" ${PPO_STEPS:+--run.steps=$PPO_STEPS} --run.initialize_from="$runs/sft" \
  --ppo.prompts="$(part 1),$(part 2)" --ppo.reward_model="$runs/reward_1"
evaluate() {  # evaluate NAME JUDGE
  run "$1" evaluate "${vocabulary[@]}" --run.initialize_from="$runs/ppo" --evaluate.prompts="$(part 3)" \
    --data.validation="$data/held_out.h5" --evaluate.reward_model="$runs/$2" --evaluate.reference="$runs/sft" \
    --evaluate.opponent="$runs/sft" --evaluate.output="$runs/$1_samples.jsonl"
}
evaluate evaluate reward_1
evaluate evaluate_other reward_2

python3 tools/hh_table.py "$runs"
echo "It took $((SECONDS - began)) s."
