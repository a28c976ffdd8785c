#!/usr/bin/env bash
# Finetunes a tiny model of each family, LoRA and whole UNet, and lets diffusers load what was trained and sample the run's
# last images again (check_lora.py).   tests/checks/check_families.sh [LAUREL]
# $LAUREL_PYTHON, or the Python that tools/python-reference makes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
golden=$here/../golden
python=$("$here/../../tools/python-reference")
laurel=${1:-$here/../../build/release/bin/laurel}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
printf 'a red circle\na blue square\n' > "$place/prompts.txt"
for model in pipeline families/sd2v families/sdxl families/lcm; do
  for train in lora full; do
    echo "$model, --train $train"
    run=$place/$(basename $model)-$train
    "$laurel" finetune prdp -m "$golden/$model" --prompts "$place/prompts.txt" -r brightness --train $train --num_epochs 2 \
      --prompts_per_epoch 2 --images_per_prompt 2 --sample_num_steps 3 --sigma_min 0 --learning_rate 0.01 --eval_prompts 2 \
      --eval_images 1 --eval_every 1 -o "$run" > "$run.log" 2>&1 || { tail -n 1 "$run.log"; exit 1; }
    PYTHONWARNINGS=ignore "$python" "$here/check_lora.py" "$golden/$model" "$run" 2> "$run.err" || { cat "$run.err"; exit 1; }
  done
done
