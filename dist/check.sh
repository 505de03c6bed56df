#!/bin/sh
# Proves that the bundle runs on a bare machine: unpacked elsewhere, an empty environment, no Java on
# the path, another working folder, through a link, with the folder made read-only.
#
#   dist/check.sh dist/target/minigpt4-engine-linux-x64.tar.gz
set -eu
archive=$(readlink -f "$1")
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
mkdir "$work/a folder" "$work/elsewhere" "$work/bin"
tar -xzf "$archive" -C "$work/a folder"
home="$work/a folder/minigpt4-engine-linux-x64"
chmod -R a-w "$home"
for program in sh env uname dirname readlink find; do
  ln -s "$(command -v "$program")" "$work/bin/$program"
done
ln -s "$home/minigpt4" "$work/elsewhere/started"

bare() {
  (cd "$work/elsewhere" && env -i PATH="$work/bin" "$@" </dev/null)
}

expect() { # TEXT COMMAND...: the command succeeds and prints the text
  text=$1
  shift
  output=$(bare "$@" 2>&1) || { echo "failed: $*"; echo "$output"; exit 1; }
  case $output in
    *"$text"*) echo "passed: ${*##*/}" ;;
    *) echo "not printed: $text"; echo "$output"; exit 1 ;;
  esac
}

expect "minigpt4 " ./started --version
expect "yellow circle" ./started chat "$home/docs/images/scene.png" -p "Describe this image in detail."
expect "passed" ./started doctor --device cpu
expect "minigpt4-bench " "$home/minigpt4-bench" --version
expect "linear F32 16" "$home/minigpt4-bench" kernels --only "linear F32 16 " --rounds 1 --threads 1
