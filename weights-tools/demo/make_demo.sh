#!/bin/sh
# Makes the demo model from nothing: trains it, writes the model folder, has the engine train its projection, writes golden
# answers and example pictures, and evaluates it. Run it with a Python that has requirements.txt; PYTHON, ENGINE, WORK, OUT, GOLDEN
# and IMAGES may name another interpreter, engine or place, SHARE=0.01 makes a hundredth of the steps and SCENES=5 evaluates on five
# scenes, to see whether everything runs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}
engine=${ENGINE:-$root/minigpt4}
work=${WORK:-$here/work}
out=${OUT:-$root/src/src/main/resources/io/minigpt4/demo}
images=${IMAGES:-$root/docs/images}
golden=${GOLDEN:-$root/src/src/test/resources/golden/demo.json}

cd "$here"
"$python" train.py --work "$work" --out "$out" --share "${SHARE:-1}"
part() { "$python" -c "print(max(2, round($1 * ${SHARE:-1})))"; }
"$engine" train --model "$out" --stage 1 --iterations "$(part 1000)" --scenes "$(part 30000)" --output "$work/stage1"
"$engine" train --model "$out" --stage 2 --ckpt "$work/stage1/checkpoint_2.pth" --epochs 6 --iterations "$(part 1000)" \
  --scenes "$(part 60000)" --output "$work/stage2"
"$python" projection.py "$out" "$work/stage2/checkpoint_5.pth"
"$python" examples.py "$images"
"$python" golden.py "$out" "$images/scene.png" "$golden"
"$python" evaluate.py "$out" --scenes "${SCENES:-500}" --json "$work/evaluation.json"
