#!/usr/bin/env bash
# Compiles src/main/c to the library of the processor's kernels for Linux on x86-64; needs GCC 12 or later.
# The result is committed. It holds the SHA-256 of the sources, by which CpuLibraryTest knows that it is theirs.
set -euo pipefail
cd "$(dirname "$0")/src/main/c"
out=$PWD/../resources/io/minigpt4/kernels/linux-x86_64.so
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

avx2="-mavx2 -mfma -mf16c"
avx512="$avx2 -mavx512f -mavx512bw -mavx512dq -mavx512vl"
compile() {
  gcc -std=c11 -O2 -fPIC -ffreestanding -fno-builtin -fno-stack-protector -ftls-model=initial-exec -fno-asynchronous-unwind-tables \
    -fcf-protection=none -Wall -Wextra -Werror -ffile-prefix-map="$PWD"= "$@"
}
compile -c features.c "-DSOURCES=\"sha256 $(cat features.c guard.h guard.c vector.h panel.h unquantise.h attention.c brain.c dots.c product.c quantised.c | sha256sum | cut -d' ' -f1)\"" \
  -o "$work/features.o"
compile -c guard.c -o "$work/guard.o"
compile $avx2 -c dots.c -o "$work/dots_avx2.o"
compile $avx512 -c dots.c -o "$work/dots_avx512.o"
compile $avx2 -c attention.c -o "$work/attention_avx2.o"
compile $avx512 -c attention.c -o "$work/attention_avx512.o"
compile $avx2 -c product.c -o "$work/product_avx2.o"
compile $avx512 -c product.c -o "$work/product_avx512.o"
compile $avx512 -mavx512bf16 -c brain.c -o "$work/brain.o"
compile $avx512 -mavx512vnni -c quantised.c -o "$work/quantised.o"
gcc -shared -nostdlib -Wl,--build-id=none,-z,noexecstack,-z,relro,-z,now,--hash-style=gnu -s "$work"/*.o -o "$out"
# The one function of the C library's, whichever that is.
[ "$(nm -D --undefined-only "$out" | awk '{ print $2 }')" = sigaction ]
chmod 644 "$out"
ls -l "$out" | awk '{ print $5 " bytes" }'
