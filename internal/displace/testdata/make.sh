#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds program.c as a shared library, in two versions for each architecture:
# NAME.1 and NAME.2, and as an object file. The results are kept beside it, so that tests need no
# compilers and measure the same bytes everywhere. They were made with gcc 12.2 and
# binutils 2.40 of Debian 12:
#   apt-get install gcc gcc-{i686,aarch64,riscv64}-linux-gnu gcc-arm-linux-gnueabihf
set -euo pipefail
cd "$(dirname "$0")"

build() {
  local name=$1 compiler=$2
  shift 2
  for version in 1 2; do
    "$compiler" -DVERSION="$version" -O2 -fPIC -fvisibility=hidden -fno-stack-protector \
      -shared -nostdlib -Wl,-z,lazy -Wl,-z,noseparate-code -Wl,-z,max-page-size=4096 \
      -Wl,--build-id=none -fno-ident -s "$@" -o "$name.$version" program.c
    chmod 644 "$name.$version"
  done
}

# An object file, as kernel modules are.
for version in 1 2; do
  gcc -DVERSION="$version" -O2 -fno-pic -mcmodel=kernel -fno-stack-protector \
    -fcf-protection=none -fno-ident -gbtf -c -o "object.$version" program.c
  chmod 644 "object.$version"
done

build x86-64 gcc -fcf-protection=none
build i386 i686-linux-gnu-gcc -fcf-protection=none -fasynchronous-unwind-tables
build arm64 aarch64-linux-gnu-gcc -fasynchronous-unwind-tables
build arm arm-linux-gnueabihf-gcc -marm
build thumb arm-linux-gnueabihf-gcc -mthumb
build riscv64 riscv64-linux-gnu-gcc -fasynchronous-unwind-tables
