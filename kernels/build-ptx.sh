#!/usr/bin/env bash
# Compiles src/main/cuda/*.cu (or the named ones) to PTX for sm_80; needs nvcc and ptxas (CUDA 12 or 13).
# The results are committed. Each starts with the SHA-256 of its source and the headers that it includes,
# and asks for the lowest PTX version that assembles, so that older drivers load it too.
set -euo pipefail
cd "$(dirname "$0")"
sources=src/main/cuda
out=src/main/resources/io/minigpt4/kernels

# The source and then its own headers, in the order of inclusion; CudaSourcesTest reads them in the same way.
text() {
  cat "$sources/$1"
  sed -n 's/^#include "\(.*\)"$/\1/p' "$sources/$1" | while read -r header; do text "$header"; done
}

if [ $# = 0 ]; then
  set -- $(cd $sources && ls -- *.cu | sed 's/\.cu$//')
fi
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
for name in "$@"; do
  nvcc -std=c++17 -O3 -arch=sm_80 -ptx "$sources/$name.cu" -o "$work/raw.ptx"
  for version in 7.0 7.1 7.2 7.3 7.4 7.5 7.6 7.7 7.8; do
    sed "s/^\.version .*/.version $version/" "$work/raw.ptx" > "$work/$name.ptx"
    if ptxas -arch=sm_80 -v "$work/$name.ptx" -o /dev/null 2> "$work/log"; then
      break
    fi
    if [ $version = 7.8 ]; then
      cat "$work/log"
      echo "$name: does not assemble for PTX 7.8, the newest that CUDA 11.8's drivers load" >&2
      exit 1
    fi
  done
  { echo "// sha256 $(text "$name.cu" | sha256sum | cut -d' ' -f1)"; cat "$work/$name.ptx"; } > "$out/$name.ptx"
  echo "$name.ptx: PTX $version"
  sed -n -e "s/.*Compiling entry function '\(.*\)' for.*/  \1/p" \
    -e 's/^ptxas info *: Used \(.*registers\).*/    \1/p' \
    -e 's/^ *\([0-9].*spill loads\)/    \1/p' "$work/log"
done
