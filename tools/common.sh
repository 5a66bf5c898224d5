#!/usr/bin/env bash
# Shared by the scripts of this folder; sourced, never run. Leaves the caller in the project's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

JOBS=${JOBS:-$(nproc)}

say() { printf '%s\n' "$*"; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# configure PRESET [-DNAME=VALUE ...]: quiet unless it fails. Works without ccache too.
configure() {
  local preset=$1 log
  shift
  local options=("$@")
  command -v ccache >/dev/null ||
    options+=(-DCMAKE_C_COMPILER_LAUNCHER= -DCMAKE_CXX_COMPILER_LAUNCHER=)
  log=$(mktemp)
  if ! cmake --preset "$preset" ${options[@]+"${options[@]}"} >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# compile PRESET TARGET...: at most JOBS at a time; output only of what fails, and a last line.
compile() {
  local preset=$1
  shift
  cmake --build "build/$preset" --parallel "$JOBS" --target "$@"
}
