#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Building an exact version of a C library out of a Go module that holds its sources, for
# get-libzstd and get-libz, which read this file. They set the variables below and then
# call get_library "$@".
# shellcheck disable=SC2154
#
#   name      of the program, for messages
#   soname    of the library; the file is called $soname.VERSION
#   module    that has the sources
#   sums      VERSION=DIGEST for each version that is offered; go.sum's digests pin the
#             sources whose output was measured
#   usage     a function that prints what -h prints
#   advice    a function: advice VERSION prints what to do about one that is not offered
#   wanted    a function: wanted FILE succeeds for a .c file that belongs to the library
#   compile   options of the compiler

die() {
  local status=$1 line
  shift
  for line; do printf '%s: %s\n' "$name" "$line" >&2; done
  exit "$status"
}

# print_version: the tools and the scripts are of one version.
print_version() {
  local here version
  here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[-1]}")")
  version=$(PATH=$here:$here/../bin:$PATH zrecompress --version) || die 1 'zrecompress, which knows the version, is not there'
  printf '%s %s\n' "$name" "${version#* }"
}

# operands ARG...: sets version.
operands() {
  local option operand OPTIND OPTARG
  while getopts :h-: option; do
    case $option in
    h) usage && exit ;;
    -)
      case $OPTARG in
      help) usage && exit ;;
      version) print_version && exit ;;
      *) die 2 "unknown flag \"--$OPTARG\"" "hint: \"$name -h\" describes the operands" ;;
      esac
      ;;
    *) die 2 "unknown flag \"-$OPTARG\"" "hint: \"$name -h\" describes the operands" ;;
    esac
  done
  shift $((OPTIND - 1))
  for operand; do
    [[ $operand != -?* ]] || die 2 "flag \"$operand\" comes after an operand" 'hint: flags come before operands'
  done
  [[ $# == 1 ]] || die 2 "got $# operands, want one version" "hint: \"$name -h\" describes the operands"
  version=$1
}

# digest_of VERSION: prints the digest of its sources.
digest_of() {
  local sum
  for sum in "${sums[@]}"; do
    [[ ${sum%%=*} != "$1" ]] || {
      printf '%s\n' "${sum#*=}"
      return
    }
  done
  die 2 "version \"$1\" cannot be had, only ${sums[*]%%=*}" "hint: $(advice "$1")"
}

# fetch VERSION DIGEST: sets folder to that of the sources.
fetch() {
  local answer
  # A folder of its own, so that no go.mod, go.work or vendor folder interferes.
  printf 'module scratch\n' >"$work/go.mod"
  answer=$(cd "$work" && GO111MODULE=on GOFLAGS=-mod=mod GOWORK=off go mod download -json "$module@v$1") ||
    die 1 "fetch $module@v$1: $(sed -n 's/^\t"Error": "\(.*\)",\{0,1\}$/\1/p' <<<"$answer")"
  field() { sed -n 's/^\t"'"$1"'": "\(.*\)",\{0,1\}$/\1/p' <<<"$answer"; }
  [[ $(field Sum) == "h1:$2" ]] || die 1 "fetch $module@v$1: got digest $(field Sum), want h1:$2"
  folder=$(field Dir)
}

# build: makes $work/library of what is in $folder.
build() {
  local file sources=()
  cd "$folder" || exit
  for file in *.c; do
    ! wanted "$file" || sources+=("$file")
  done
  # The bytes that a library writes do not depend on the level of optimisation.
  printf '%s\0' "${sources[@]}" |
    xargs -0 -P "$(getconf _NPROCESSORS_ONLN)" -I '{}' \
      "${cc[@]}" -O2 -fPIC "${compile[@]}" -c -o "$work/{}.o" '{}' ||
    die 1 "compile $soname.$version with \"${cc[*]}\"" 'hint: the C library headers must be there (Debian: libc6-dev)'
  "${cc[@]}" -shared "${compile[@]}" -Wl,-Bsymbolic -Wl,-z,noexecstack -Wl,-soname,"$soname.$version" -o "$work/library" "$work"/*.o ||
    die 1 "link $soname.$version with \"${cc[*]}\""
}

get_library() {
  local sum machine host cache library
  operands "$@"
  sum=$(digest_of "$version") || exit
  read -ra cc <<<"${CC:-gcc}"
  command -v "${cc[0]}" >/dev/null ||
    die 1 "the compiler \"${cc[0]}\" is missing" 'hint: install gcc and the C library headers (Debian: gcc libc6-dev), or name another compiler in CC'
  machine=$("${cc[@]}" -dumpmachine)
  host=$(gcc -dumpmachine 2>/dev/null || cc -dumpmachine 2>/dev/null || uname -m)
  [[ ${machine%%-*} != "${host%%-*}" ]] || machine=

  cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}
  [[ $cache == /* ]] || die 1 "XDG_CACHE_HOME \"$cache\" is not an absolute path"
  cache+=/swudelta
  library=$cache/$soname.$version${machine:+.$machine}
  if [[ -e $library ]]; then
    printf '%s\n' "$library"
    return
  fi
  command -v go >/dev/null || die 1 'go is missing, which fetches the sources' 'hint: install Go 1.21 or later (https://go.dev/dl)'
  trap 'rm -rf -- ${work:+"$work"}' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  { mkdir -p "$cache" && work=$(trap '' INT TERM && mktemp -d "$cache/.build.XXXXXX"); } 2>/dev/null ||
    die 1 "nothing can be written to the folder $cache" 'hint: name another one in XDG_CACHE_HOME'
  fetch "$version" "$sum"
  build
  mv "$work/library" "$library"
  printf '%s\n' "$library"
}
