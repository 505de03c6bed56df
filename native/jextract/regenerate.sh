#!/bin/sh
# Makes the bindings of cuDNN and NCCL anew from the vendor's headers, with what cudnn.txt and nccl.txt
# name, into ../src/main/java/io/minigpt4/nativelib/{cudnn,nccl}. Needed only when the lists change.
#
#   jextract/regenerate.sh HEADERS
#
# HEADERS is the folder "nvidia" of a Python environment with the wheels nvidia-cudnn-cu13 and
# nvidia-nccl-cu13. CUDA_HOME (or /usr/local/cuda) gives the CUDA headers that they include,
# JEXTRACT the jextract for JDK 25 to run, BUILTIN a folder with a compiler's own headers.
set -eu
headers=$(cd "$1" && pwd)
cd "$(dirname "$0")"
cuda=${CUDA_HOME:-/usr/local/cuda}
builtin=${BUILTIN:-$(cc -print-file-name=include)}
sources=../src/main/java

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

generate() { # NAME CLASS HEADER
  rm -rf "$sources/io/minigpt4/nativelib/$1"
  "${JEXTRACT:-jextract}" -I "$builtin" -I "$cuda/include" -I "$headers/$1/include" \
    --output "$sources" --target-package "io.minigpt4.nativelib.$1" --header-class-name "$2" \
    "@$1.txt" "$3"
  # What jextract makes is static and bound to libraries that are loaded by name. Here a class gets
  # its library from outside: an object for each, so that tests can give it stubs.
  CLASS=$2 perl -0pi -e '
    my $class = $ENV{CLASS};
    my @functions = /SYMBOL_LOOKUP\.findOrThrow\("(\w+)"\)/g;
    my $fields = join("", map { "    private final MemorySegment $_\$address;\n" } @functions);
    my $finds = join("", map { "        $_\$address = symbols.findOrThrow(\"$_\");\n" } @functions);
    s/^    $class\(\) \{.*?^    \}\n/$fields\n    \/** Finds the functions. *\/\n    public $class(SymbolLookup symbols) {\n$finds    }\n/ms;
    s/^    static final Arena LIBRARY_ARENA.*?\n\n//ms;
    s/^    static final SymbolLookup SYMBOL_LOOKUP.*?;\n\n//ms;
    s/^        public static final MemorySegment ADDR = .*?;\n\n//mg;
    s/downcallHandle\(ADDR, DESC\)/downcallHandle(DESC)/g;
    s/^    \/\*\*\n     \* Address for:\n.*?^    \}\n\n//msg;
    s/^    public static (\w+ (\w+)\([^)]*\) \{\n        var mh\$)/    public $1/mg;
    s/(var mh\$ = (\w+)\.HANDLE;.*?invokeExact\()(\)|)/"$1$2\$address" . ($3 ? ")" : ", ")/msge;
  ' "$sources/io/minigpt4/nativelib/$1/$2.java"
}

# In C, () means any number of arguments.
sed 's/\(ncclGroup[A-Za-z]*\)()/\1(void)/' "$headers/nccl/include/nccl.h" >"$work/nccl.h"
generate nccl NcclApi "$work/nccl.h"
generate cudnn CudnnApi "$headers/cudnn/include/cudnn_graph.h"
