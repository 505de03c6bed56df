#!/bin/sh
# Makes the demo model from nothing: trains it, writes the model folder, its golden answers and example pictures, and
# evaluates it. Run it with a Python that has requirements.txt; PYTHON, WORK, OUT, GOLDEN and IMAGES may name another interpreter
# or place, SHARE=0.01 makes a hundredth of the steps and SCENES=5 evaluates on five scenes, to see whether everything runs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}
work=${WORK:-$here/work}
out=${OUT:-$root/src/src/main/resources/io/minigpt4/demo}
images=${IMAGES:-$root/docs/images}
golden=${GOLDEN:-$root/src/src/test/resources/golden/demo.json}

cd "$here"
"$python" train.py --work "$work" --out "$out" --share "${SHARE:-1}"
"$python" examples.py "$images"
"$python" golden.py "$out" "$images/scene.png" "$golden"
"$python" evaluate.py "$out" --scenes "${SCENES:-500}" --json "$work/evaluation.json"
