#!/bin/sh
# Checks the engine on a machine with an NVIDIA GPU, and measures it beside PyTorch where that is:
#
#   gpu-check.sh [FOLDER [PART...]]     FOLDER gets the report; gpu-report if none is named
#
# Runs from the unpacked bundle or from bench/ of a checkout that is built. Each part has a limit, and a call ends within
# nine minutes: where parts are left then, the same command goes on with them and adds to the same report:
#
#   until gpu-check.sh out; do grep -q "no time left" out/parts.tsv || break; done
#
# A part that cannot run is reported as missing, and the exit code is 1 unless all parts of the report ran and
# passed. DEVICE=cuda:1 chooses a GPU, PYTHON the Python with PyTorch, LIMIT=1800 the seconds of a call,
# PART_LIMIT=30 those of a part.
set -u
self=$(readlink -f "$0")
here=$(dirname "$self")
device=${DEVICE:-cuda}
python=${PYTHON:-python3}
limit=${LIMIT:-530}
most=${PART_LIMIT:-600}
all="gpu doctor demo parity llm vision kernels jcuda torch compare vision64 llm8 llm4 peer-parity train torch-train compare-training"
start=$(date +%s)

if [ -x "$here/runtime/bin/java" ]; then
  root=$here
  peers=$here/peers
  bench() { "$root/minigpt4-bench" "$@"; }
else
  root=$(dirname "$here")
  peers=$here/peers
  bench() { java -jar "$here/target/minigpt4-bench.jar" "$@"; }
fi
engine=$root/minigpt4
# The engine looks for NVIDIA's libraries in the wheels of the Python on the path.
case $python in */*) PATH=$(dirname "$python"):$PATH && export PATH ;; esac
picture=$root/docs/images/scene.png

note() { # NAME STATUS SECONDS DETAIL
  detail=$(printf '%s' "$4" | tr '\t\n"\\' "  '/" | cut -c 1-300)
  grep -v "^$1	" "$report/parts.tsv" >"$report/parts.new"
  mv "$report/parts.new" "$report/parts.tsv"
  printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$detail" >>"$report/parts.tsv"
  printf '%-8s %-22s %4s s  %s\n' "$2" "$1" "$3" "$detail"
}

left() {
  echo $((limit - $(date +%s) + start))
}

last_words() { # FILE: its last line that says something
  grep -v '^ *$' "$1" 2>/dev/null | tail -n 1
}

# part NAME SECONDS: runs the function of that name; what it prints goes to NAME.txt. It is a run of
# this script of its own, because timeout ends programs with all that they started.
part() {
  name=$1
  allowed=$2
  [ "$allowed" -le "$most" ] || allowed=$most
  if [ "$allowed" -gt "$(left)" ]; then
    note "$name" missing 0 "no time left"
    return
  fi
  begun=$(date +%s)
  timeout -k 5 "$allowed" "$self" --part "$report" "$(printf '%s' "$name" | tr - _)" </dev/null >"$report/$name.txt" 2>&1
  code=$?
  took=$(($(date +%s) - begun))
  if [ "$code" = 0 ]; then
    note "$name" passed "$took" "$(last_words "$report/$name.txt")"
  elif [ "$code" = 124 ] || [ "$code" = 137 ]; then
    note "$name" failed "$took" "ended after its limit of $allowed s"
  elif grep -q "no GPU can be used" "$report/$name.txt"; then
    note "$name" missing "$took" "$(grep -m 1 "no GPU can be used" "$report/$name.txt")"
  elif [ "$code" = 77 ]; then
    note "$name" missing "$took" "$(last_words "$report/$name.txt")"
  else
    note "$name" failed "$took" "exit code $code: $(last_words "$report/$name.txt")"
  fi
}

missing() { # REASON: ends a part that cannot run
  echo "$1"
  exit 77
}

gpu() {
  command -v nvidia-smi >/dev/null || missing "no nvidia-smi: is there an NVIDIA driver?"
  nvidia-smi || return 1
  nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader
}

doctor() {
  "$engine" doctor --device "$device" --output json >"$report/doctor.json"
  code=$?
  "$engine" doctor --device "$device" --quick 2>&1 || return 1
  [ "$code" = 0 ] || echo "the shapes of the models failed: doctor.json tells more"
  return "$code"
}

# The demo model's greedy answers, on the GPU and on the processor.
demo() {
  for where in cpu "$device"; do
    "$engine" chat "$picture" --device "$where" --output json --temperature 0 --max-new-tokens 80 \
      -p "Describe this image in detail." -p "How many objects are there?" \
      -p "Is there a red square?" >"$report/demo-$where.json" 2>"$report/demo-$where.err" ||
      { cat "$report/demo-$where.err"; return 1; }
    sed -n 's/.*"text":"\(.*\)","finish_reason".*/\1/p' "$report/demo-$where.json" \
      >"$report/demo-$where.txt"
  done
  [ -s "$report/demo-cpu.txt" ] || { echo "the processor gave no answer"; return 1; }
  cmp "$report/demo-cpu.txt" "$report/demo-$device.txt" || return 1
  echo "$(wc -l <"$report/demo-cpu.txt") answers of the demo model are the same as the processor's"
}

parity() {
  bench parity --device "$device" --json "$report/parity.json"
}

llm() {
  llama F16 5 llm
}

# The same in 8 and 4 bits, whose rate is a share of what reading so few bytes allows.
llm8() {
  llama Q8 3 llm8
}

llm4() {
  llama Q4 3 llm4
}

llama() { # TYPE ROUNDS NAME
  bench llm --device "$device" --shape VICUNA_13B --dtype "$1" --rounds "$2" --tokens 64 --json "$report/$3.json"
}

vision() {
  bench vision --device "$device" --dtype F16 --rounds 5 --json "$report/vision.json"
}

vision64() {
  bench vision --device "$device" --dtype F16 --rounds 3 --batch 64 --json "$report/vision64.json"
}

kernels() {
  bench kernels --device "$device" --rounds 3 --json "$report/kernels.json"
}

jcuda() {
  bench jcuda --rounds 5 --json "$report/jcuda.json"
}

train() {
  bench train --device "$device" --shape VICUNA_13B --dtype F16 --batch 64 --rounds 3 --json "$report/train.json"
}

has_torch() {
  command -v "$python" >/dev/null || missing "no $python"
  "$python" -c 'import torch, sys; sys.exit(0 if torch.cuda.is_available() else 1)' 2>/dev/null ||
    missing "$python has no PyTorch that sees a GPU"
}

torch() {
  has_torch
  "$python" "$peers/gpu_torch.py" --seconds 120 --json "$report/torch.json"
}

torch_train() {
  has_torch
  "$python" "$peers/gpu_torch.py" --only training --rounds 3 --json "$report/torch-train.json"
}

# Full-width weights, forwards and one training batch backwards, against PyTorch in float32.
peer_parity() {
  has_torch
  weights=$report/peer-weights
  "$python" "$peers/parity_torch.py" "$weights" && bench parity --device "$device" --peer "$weights" --json "$report/peer-parity.json"
  code=$?
  rm -rf "$weights"
  return "$code"
}

compare() {
  compared torch llm vision vision64 kernels
}

compare_training() {
  compared torch-train train
}

compared() { # THEIRS OURS...
  theirs=$1
  shift
  [ -f "$report/$theirs.json" ] || missing "nothing to compare: PyTorch was not measured"
  found=no
  for ours in "$@"; do
    [ -f "$report/$ours.json" ] || continue
    found=yes
    echo "## $ours"
    bench compare "$report/$ours.json" "$report/$theirs.json" || return 1
  done
  [ "$found" = yes ] || missing "nothing to compare: no benchmark of ours ran on the GPU"
}

if [ "${1:-}" = --part ]; then
  report=$2
  "$3"
  exit
fi
report=${1:-gpu-report}
mkdir -p "$report" || exit 1
report=$(cd "$report" && pwd)
touch "$report/parts.tsv"
[ $# -eq 0 ] || shift
if [ $# -eq 0 ]; then
  left_over=""
  for name in $all; do
    grep "^$name	" "$report/parts.tsv" | grep -q -v "no time left" || left_over="$left_over $name"
  done
  [ -n "$left_over" ] || left_over=$all
  set -- $left_over
fi

for name in "$@"; do
  case $name in
    gpu | compare | compare-training) part "$name" 20 ;;
    doctor | train) part "$name" 120 ;;
    demo) part "$name" 50 ;;
    parity | llm | llm8 | llm4 | vision | vision64 | kernels) part "$name" 80 ;;
    jcuda) part "$name" 30 ;;
    torch | torch-train | peer-parity) part "$name" 200 ;;
    *)
      echo "gpu-check.sh: no part $name; parts are $all" >&2
      exit 2
      ;;
  esac
done

failures=$(awk -F '\t' '$2 != "passed"' "$report/parts.tsv" | wc -l)
awk -F '\t' 'BEGIN { print "{\"parts\": [" }
  { printf "%s  {\"name\": \"%s\", \"status\": \"%s\", \"seconds\": %s, \"detail\": \"%s\"}", (NR > 1 ? ",\n" : ""), $1, $2, $3, $4 }
  END { print "\n]}" }' "$report/parts.tsv" >"$report/report.json"
{
  echo "# GPU check"
  echo
  echo "$(date -u '+%Y-%m-%d %H:%M UTC'), $(uname -sm), $("$engine" --version 2>/dev/null), $(($(date +%s) - start)) s."
  echo
  echo "| part | result | seconds | |"
  echo "| --- | --- | --- | --- |"
  awk -F '\t' '{ gsub(/\|/, "/", $4); printf "| %s | %s | %s | %s |\n", $1, $2, $3, $4 }' "$report/parts.tsv"
  for name in $all; do
    [ -s "$report/$name.txt" ] || continue
    printf '\n## %s\n\n```\n' "$name"
    tail -n 80 "$report/$name.txt"
    echo '```'
  done
} >"$report/report.md"
echo "report: $report/report.md"
[ "$failures" = 0 ]
