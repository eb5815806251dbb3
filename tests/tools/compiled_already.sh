#!/usr/bin/env bash
# Launches a compiler for cuda_build.sh: an object that BUILD has of the same source is copied instead.
#   compiled_already.sh BUILD COMPILER WORDS...
set -euo pipefail
build=$1
shift
words=("$@") object='' list=''
for ((i = 0; i < $#; i++)); do
  case ${words[i]} in -o) object=${words[i + 1]} ;; -MF) list=${words[i + 1]} ;; esac
done
if [ -n "$object" ] && [ -n "$list" ] && [ -f "$build/$object" ]; then
  cp "$build/$object" "$object"
  echo "$object:" >"$list"  # its headers: BUILD's own list has them
else
  exec "$@"
fi
