#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Recompressing an SWU, for DiffGenTool and swu-recompress, which read this file.
# They have the SWU unpacked in $work/target, its list in $work/target.list and
# that of its entries in $work/target.entries; the new one comes to be in
# $work/new and $work/new.list.
#
# From them it wants: wrong_usage MESSAGE [HINT]; run TOOL ARG..., say, warn and die as they understand them;
# messages NAME, which passes on what $work/messages has; zstd_options; common, the
# flags of every tool; and cert, which the new signature is verified with.
# shellcheck disable=SC2154

# digest FILE
digest() {
  local line
  line=$(sha256sum <"$1")
  printf '%s' "${line%% *}"
}

# form_of DEVICE: how images are stored for it: zstd, gzip, or kept (as they are).
form_of() {
  local name form names=''
  while read -r name form; do
    [ "$name" != "$1" ] || {
      printf %s "$form"
      return
    }
    names+="${names:+, }$name"
  done < <(zrecompress --devices)
  wrong_usage "--device \"$1\": want one of $names"
}

# recompress_to WANTED FORM FORCE: the --to of zrecompress, for what --recompress says and
# the form of the device; kept where images stay as they are.
recompress_to() {
  local to=${1:-$2}
  [ "$to" != none ] || to=plain
  [ "$to/$2" != gzip/zstd ] || [ -n "$3" ] ||
    wrong_usage '--recompress gzip: devices of profile 1.0 cannot compress gzip again, and the delta would be about as large as the images' \
      'leave it out, or take none; --force does it nevertheless'
  printf %s "$to"
}

declare -A compressed=() renamed=() unreadable=()

# check_target SWU: what a device would refuse, or would install otherwise than it
# was meant, must not be signed anew. What cannot be decompressed is only left.
check_target() {
  local class name path message status=0 faults=()
  swdesc -q --check -C "$work/target" -o "$work/target.findings" "$work/target/sw-description" 2>"$work/messages" || status=$?
  [ $status != 0 ] || return 0
  if [ $status != 3 ] || [ ! -s "$work/target.findings" ]; then
    messages swdesc
    exit $status
  fi
  while IFS=$'\t' read -r class name path message; do
    case $class in
    part)
      [ -n "${unreadable[$name]:-}" ] || warn "$name: left as it is: $message"
      unreadable[$name]=$message
      ;;
    padding | size | unhashed) warn "$name ($path): $message" ;;
    description) faults+=("$1: $message") ;;
    *) faults+=("$1: member \"$name\" ($path): $message") ;;
    esac
  done <"$work/target.findings"
  [ ${#faults[@]} = 0 ] || die 3 "${faults[@]}" 'hint: a device refuses this, or installs what was not tested; swdesc --check looks for it alone'
}

# read_entries SWU: what is to be done with the members that sw-description names:
# images, with the word for their compression in compressed; left, in words.
read_entries() {
  local name kind word encrypted action reason
  images=() left=()
  check_target "$1"
  while IFS=$'\t' read -r name kind word _ _ _ encrypted action reason _; do
    # A group of another name may speak of what is not in the archive.
    if [ ! -f "$work/target/$name" ] || [ "$action" = same ]; then continue; fi
    if [ -n "${unreadable[$name]:-}" ]; then
      : # said already
    elif [ "$encrypted" = yes ]; then
      warn "$name: left as it is, it is encrypted, so the delta holds all of it; leave it out of the delta update, since decrypted and encrypted again it would be another file"
    elif [ "$action" = recompress ]; then
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

# sign COMMAND: the new signature, if there is to be one. What a command has to do
# is the business of swu-sign. The locks of a run are not the command's.
sign() {
  local signing=$1 options=() status=0
  if [ -n "$signing" ]; then
    [ ! -f "$work/target/sw-description.sig" ] || options+=(--like "$work/target/sw-description.sig")
    [ -z "$cert" ] || options+=(--cert "$cert")
    swu-sign "${common[@]}" --command "$signing" "${options[@]}" -o "$work/new/sw-description.sig" \
      "$work/new/sw-description" 2>"$work/messages" 8<&- 9>&- || status=$?
    messages signing
    [ $status = 0 ] || die $status "the signing command made no signature: $signing"
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
