#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Recompressing an SWU, for DiffGenTool and swu-recompress, which read this file.
# They have the SWU unpacked in $work/target, its list in $work/target.list and
# that of its entries in $work/target.entries; the new one comes to be in
# $work/new and $work/new.list.
#
# From them it wants: run TOOL ARG..., say, warn and die as they understand them;
# messages NAME, which passes on what $work/messages has; and zstd_options.
# shellcheck disable=SC2154

# digest FILE
digest() {
  local line
  line=$(sha256sum <"$1")
  printf '%s' "${line%% *}"
}

declare -A compressed=() renamed=()

# read_entries SWU: what is to be done with the members that sw-description names:
# images, with the word for their compression in compressed; left, in words.
read_entries() {
  local name kind word sha256 action reason path
  local -A digests=()
  images=() left=()
  while IFS=$'\t' read -r name kind word sha256 _ _ _ action reason path; do
    if [ ! -f "$work/target/$name" ]; then
      [ "$kind" != other ] || continue
      die 3 "$1: sw-description names \"$name\" ($path), which is not in the archive"
    fi
    # What a device would refuse must not be signed anew.
    [ -n "${digests[$name]:-}" ] || digests[$name]=$(digest "$work/target/$name")
    [ "$sha256" = - ] || [ "$sha256" = "${digests[$name]}" ] ||
      die 3 "$1: member \"$name\" has sha256 ${digests[$name]}, $path in sw-description says $sha256"
    [ "$action" != same ] || continue
    if [ "$action" = recompress ]; then
      images+=("$name") compressed[$name]=$word
    elif [ "$kind" = images ]; then
      left+=("$name: left as it is ($reason)")
    fi
  done <"$work/target.entries"
}

# new_name TO NAME: what a recompressed member is called. A name that is taken, or
# was given already, stays.
new_name() {
  local name=$2
  [ "$1" != zstd ] || name=${name%.gz}
  [ "$name" = "$2" ] || name+=.zst
  if [ -e "$work/target/$name" ] || [ -e "$work/new/$name" ]; then name=$2; fi
  printf '%s' "$name"
}

# recompress TO: the new images, and the new sw-description.
recompress() {
  local to=$1 name as sets=()
  for name in "${images[@]}"; do
    as=$(new_name "$to" "$name")
    mkdir -p -- "$(dirname -- "$work/new/$as")"
    run zrecompress --to "$to" "${zstd_options[@]}" -o "$work/new/$as" "$work/target/$name"
    renamed[$name]=$as
    sets+=(--set "$name:$as=$work/new/$as")
    say "$name: ${compressed[$name]} to $to, $(stat -c %s -- "$work/target/$name") to $(stat -c %s -- "$work/new/$as") bytes"
  done
  for name in "${left[@]}"; do say "$name"; done
  if [ ${#sets[@]} -gt 0 ]; then
    run swdesc "${sets[@]}" -o "$work/new/sw-description" "$work/target/sw-description"
  else
    cp -- "$work/target/sw-description" "$work/new/sw-description"
  fi
}

# sign COMMAND: the new signature, if there is to be one.
sign() {
  local signing=$1 description status=0
  if [ -n "$signing" ]; then
    description=$(realpath -- "$work/new/sw-description")
    sh -c "$signing \"\$@\"" sh "$description" </dev/null >"$work/messages" 2>&1 8<&- 9>&- || status=$?
    messages signing
    [ $status = 0 ] || die 1 "the signing command ended with status $status: $signing"
    [ -f "$description.sig" ] || die 1 "the signing command did not create $description.sig: $signing"
  elif [ ! -e "$work/target/sw-description.sig" ]; then
    :
  elif cmp -s -- "$work/target/sw-description" "$work/new/sw-description"; then
    keep sw-description.sig sw-description.sig
  else
    warn 'sw-description has changed and there is no signing command: the signature is dropped'
  fi
}

# keep NAME AS: a member of the target that stays as it is.
keep() {
  mkdir -p -- "$(dirname -- "$work/new/$2")"
  ln -- "$work/target/$1" "$work/new/$2" 2>/dev/null || cp -P -- "$work/target/$1" "$work/new/$2"
}

# new_list: the list of the target with the new names, and the signature where
# swupdate wants it.
new_list() {
  local line name as signature=sw-description.sig
  while IFS= read -r -d '' line; do
    [ "${line#*$'\t'}" != sw-description.sig ] || signature=$line
  done <"$work/target.list"
  while IFS= read -r -d '' line; do
    name=${line#*$'\t'} as=${renamed[${line#*$'\t'}]:-${line#*$'\t'}}
    [ "$name" != sw-description.sig ] || continue
    if [ -d "$work/target/$name" ]; then
      mkdir -p -- "$work/new/$as"
    elif [ "$name" != 'TRAILER!!!' ] && [ ! -e "$work/new/$as" ]; then
      keep "$name" "$as"
    fi
    printf '%s\t%s\0' "${line%%$'\t'*}" "$as"
    [ "$name" != sw-description ] || [ ! -e "$work/new/sw-description.sig" ] || printf '%s\0' "$signature"
  done <"$work/target.list" >"$work/new.list"
}
