#!/bin/sh
# Makes the demo model from nothing: trains it, writes the model folder, its golden answers and example pictures, and
# evaluates it. Run it with a Python that has requirements.txt; PYTHON, WORK and OUT may name another interpreter or place.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}
work=${WORK:-$here/work}
out=${OUT:-$root/src/src/main/resources/io/minigpt4/demo}
golden=${GOLDEN:-$root/src/src/test/resources/golden/demo.json}

cd "$here"
"$python" train.py --work "$work" --out "$out"
"$python" examples.py "$root/docs/images"
"$python" golden.py "$out" "$root/docs/images/scene.png" "$golden"
"$python" evaluate.py "$out" --json "$here/evaluation.json"
