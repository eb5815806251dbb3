#!/usr/bin/env bash
# A bundle (tools/cmake/install_libraries.cmake, tools/bundle) of a program that is built already, moved and started with no
# other environment: every library comes from it but the C library's, two ranks give one rank's bytes, and tools/gpu_check.sh
# says that there is no GPU.   bundle_test.sh PROGRAM FOLDER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
program=$1 folder=$2
rm -rf "$folder"
mkdir -p "$folder/made/bin" "$folder/made/libexec/coxswain" "$folder/made/share/coxswain/tools"
cp "$program" "$folder/made/libexec/coxswain/coxswain"
for name in coxswain mpirun orted; do install tools/bundle/launch.sh "$folder/made/bin/$name"; done
install tools/gpu_check.sh tools/environment.sh "$folder/made/share/coxswain/tools"
cmake "-DCMAKE_INSTALL_PREFIX=$folder/made" "-Dprograms=$program" "-Dompi_info=$(command -v ompi_info)" \
  "-Ddpkg_query=$(command -v dpkg-query || true)" -P tools/cmake/install_libraries.cmake >"$folder/install.txt" 2>&1 ||
  { tail -n 20 "$folder/install.txt"; exit 1; }
mv "$folder/made" "$folder/moved"
bundle=$(cd "$folder/moved" && pwd)

# What programs, plug-ins and libraries want by name.
of_system='^(linux-vdso|ld-linux[-a-z0-9_]*|lib(c|m|dl|rt|util|pthread|resolv))\.so'
readelf -d "$bundle"/libexec/coxswain/* "$bundle"/openmpi/plugins/*.so "$bundle"/lib/*.so* |
  sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u >"$folder/wanted.txt"
[ "$(wc -l <"$folder/wanted.txt")" -gt 30 ] || { echo "readelf does not say what is wanted"; exit 1; }
while read -r name; do
  [[ $name =~ $of_system ]] || [ -e "$bundle/lib/$name" ] || { echo "not in the bundle: $name"; exit 1; }
done <"$folder/wanted.txt"
! ls "$bundle"/lib | grep -E '^(ld-linux|libc\.so|libcuda\.so)' || { echo "the machine brings these"; exit 1; }
[ -n "$(command -v dpkg-query)" ] && { [ -s "$bundle/share/licences/libdnnl2" ] || { echo "no licences"; exit 1; }; }

# In PATH only what scripts need: no ssh, no nvidia-smi, no other Open MPI. What was loaded is told process by process.
mkdir -p "$folder/bare"
for name in bash sh env id dirname readlink mkdir grep; do ln -s "$(command -v "$name")" "$folder/bare/$name"; done
alone() {
  rm -f "$folder"/loaded.*
  env -i "PATH=$folder/bare" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 \
    OMPI_MCA_rmaps_base_oversubscribe=1 LD_DEBUG=libs "LD_DEBUG_OUTPUT=$folder/loaded" "$@" >"$folder/said.txt" 2>&1 ||
    { cat "$folder/said.txt"; return 1; }
  grep -q "init: $bundle/openmpi/plugins/" "$folder"/loaded.* || { echo "none of its plug-ins was loaded"; return 1; }
  # The scripts' own programs load what the machine has.
  grep -l "init: $bundle" "$folder"/loaded.* | xargs sed -n 's/.*calling init: //p' | while read -r file; do
    [[ $file = "$bundle"/* || ${file##*/} =~ $of_system ]] || { echo "not from the bundle: $file"; return 1; }
  done
}
keys=("$PWD/tests/slurm/train.ini" --run.steps=2 --model.layers=1 --model.hidden=16 --model.context=16 --batch.length=16
  --checkpoint.at_end=no --grid.data=0 --grid.data_shards=2)
alone "$bundle/bin/coxswain" "${keys[@]}" "--run.directory=$folder/one"
alone "$bundle/bin/mpirun" -np 2 "$bundle/bin/coxswain" "${keys[@]}" "--run.directory=$folder/two"
cmp "$folder/one/metrics.jsonl" "$folder/two/metrics.jsonl"

code=0
env -i "PATH=$folder/bare" bash "$bundle/share/coxswain/tools/gpu_check.sh" --output "$folder/check" \
  >"$folder/said.txt" 2>&1 || code=$?
[ $code = 4 ] || { echo "gpu_check: code $code"; cat "$folder/said.txt"; exit 1; }
echo "bundle: $(ls "$bundle/lib" | wc -l) libraries, $(ls "$bundle/share/licences" | wc -l) licences; moved, it runs"
