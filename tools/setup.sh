#!/usr/bin/env bash
# Installs what building and testing need on Debian and Ubuntu (as root or with sudo); elsewhere prints the list.
#   tools/setup.sh            compilers, libraries and tools for build and tests
#   tools/setup.sh --slurm    also a Slurm for tests/slurm (a container or a throw-away machine, please)
#   tools/setup.sh --cuda     only cuobjdump and nvdisasm, into build/tools by pip, for tools/kernel_report on a CUDA toolkit
#                             that came without them
# Returns at once, without touching the network, when everything is there.
set -euo pipefail

packages=(g++ cmake ninja-build openmpi-bin libopenmpi-dev libhdf5-dev hdf5-tools libboost-program-options-dev
  libboost-context-dev libdnnl-dev nlohmann-json3-dev libfmt-dev libxxhash-dev libpcre2-dev librandom123-dev
  libgtest-dev libgmock-dev python3 strace procps git ca-certificates)
optional=(clang-format-14)  # the style test says "skipped" without it
slurm=(slurmctld slurmd slurmdbd slurm-client slurm-wlm-basic-plugins munge mariadb-server iproute2)
spack=(gcc cmake ninja openmpi hdf5 boost+program_options+context onednn nlohmann-json fmt xxhash pcre2 random123
  googletest python)
modules=(gcc/12 cmake/3.25 openmpi/4.1 hdf5/1.10 boost/1.74 onednn/2.6)

usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }

print_manual_list() {
  cat >&2 <<TEXT
tools/setup.sh: $1
Coxswain needs (these versions or newer):
  Debian/Ubuntu  apt-get install ${packages[*]}
  Spack          spack install ${spack[*]}
  modules        module load ${modules[*]}     (names differ from site to site; the rest by Spack)
Then: cmake --preset release && cmake --build --preset release
CMake names whatever is still missing.
TEXT
  exit 1
}

missing() {  # of the packages named, those that are not installed
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

bring_cuda_tools() {
  local target
  target=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/tools
  if command -v cuobjdump >/dev/null || [ -x /usr/local/cuda/bin/cuobjdump ] || [ -x "$target/nvidia/cu13/bin/cuobjdump" ]; then
    echo "set-up: cuobjdump is there"
  elif python3 -m pip install --quiet --no-deps --root-user-action=ignore --target "$target" \
    nvidia-cuda-cuobjdump==13.2.86 nvidia-cuda-nvdisasm==13.2.86; then
    echo "set-up: cuobjdump and nvdisasm are in $target"
  else
    echo "set-up: without cuobjdump (no pip, or no package index)"
  fi
}

case "${1:-}" in
  "") ;;
  --cuda) bring_cuda_tools; exit 0 ;;
  --slurm) packages+=("${slurm[@]}") ;;
  --help | -h) usage; exit 0 ;;
  *) usage >&2; exit 64 ;;
esac

have_all_tools() {  # on a cluster the modules may be loaded already
  local tool
  for tool in cmake ninja mpicxx mpirun h5ls python3; do command -v "$tool" >/dev/null || return 1; done
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  if [ "${1:-}" = "" ] && have_all_tools; then
    echo "set-up: not Debian or Ubuntu, but the tools are in PATH; CMake checks the libraries"
    exit 0
  fi
  print_manual_list "this is not Debian or Ubuntu, nothing was installed."
fi

mapfile -t wanted < <(missing "${packages[@]}")
if [ ${#wanted[@]} -eq 0 ]; then
  echo "set-up: all packages are installed"
  exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || print_manual_list "missing: ${wanted[*]}, and neither root nor sudo."
  if [ -t 0 ]; then sudo true; else sudo -n true 2>/dev/null; fi ||
    print_manual_list "missing: ${wanted[*]}, and sudo is not allowed."
  as_root=(sudo)
fi

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@"; }

echo "set-up: installing ${wanted[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
try_install() { apt install -y --no-install-recommends "$@" >"$log" 2>&1; }
if ! try_install "${wanted[@]}"; then  # package lists absent or too old
  apt update || print_manual_list "apt-get update failed, see above."
  try_install "${wanted[@]}" || { tail -n 20 "$log" >&2; print_manual_list "apt-get install failed, see above."; }
fi
mapfile -t wanted_optional < <(missing "${optional[@]}")
if [ ${#wanted_optional[@]} -gt 0 ]; then
  try_install "${wanted_optional[@]}" || echo "set-up: without ${wanted_optional[*]} (not in this release)"
fi
echo "set-up: done"
