#!/bin/sh
# Compiles the test kernels to PTX; needs nvcc (CUDA 13). The results are committed.
set -eu
cd "$(dirname "$0")"
out=src/test/resources/io/minigpt4/softgpu
for cu in src/test/cuda/*.cu; do
  name=$(basename "$cu" .cu)
  nvcc -arch=sm_80 -ptx "$cu" -o "$out/$name.ptx.new"
  sed 's/^\.version .*/.version 7.1/' "$out/$name.ptx.new" > "$out/$name.ptx"
  rm "$out/$name.ptx.new"
  ptxas -arch=sm_80 "$out/$name.ptx" -o /dev/null
done
