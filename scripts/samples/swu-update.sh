#!/bin/sh
# SPDX-License-Identifier: MIT
#
# swu-update.sh - install a SWU on a device with two copies of its system.
#
# A sample: the script that an update for the step handler microsoft/swupdate:2
# carries (adu-manifest --script). The handler runs it as root with --action
# ACTION (or --action-ACTION, if the step has no apiVersion "1.1"), --swu-file,
# --work-folder, --result-file and --installed-criteria, and with the options
# that the device's configuration of the handler and the step's "arguments" hold:
#
#   --version-file FILE  its first line is the version that is installed, which
#                        is-installed compares (default /etc/adu-version)
#   --copy1 DEVICE, --copy2 DEVICE
#                        where the two copies lie. The one that is not running is
#                        installed to, as -e SET,copy1 or -e SET,copy2
#   --root DEVICE        what is running (default: what is mounted at /)
#   --set SET            the software set of sw-description (default stable)
#   --key FILE           for swupdate -k: certificate or public key
#   --board NAME:REV     for swupdate -H, where there is no /etc/hwrevision
#   --provider P         provider of the update: apply puts the SWU into the
#                        agent's cache, with sdc-path, for the next delta to start
#                        from. Agents up to 1.2 do not cache an update themselves
#                        if the device reboots
#   --owner USER:GROUP   owner of what is cached (default: nobody changes it)
#   --cache DIR          the cache (default: that of sdc-path)
#
# The boot loader's switch to the other copy is left to "bootenv" in
# sw-description, which swupdate sets when all is installed.
set -u

action='' swu='' result='' criteria='' version_file=/etc/adu-version
copy1='' copy2='' root='' set=stable key='' board='' provider='' owner='' cache=''
while [ $# -gt 0 ]; do
  case $1 in
  --action-*) action=${1#--action-} ;;
  --action | --swu-file | --work-folder | --result-file | --installed-criteria | --version-file | --copy1 | --copy2 | \
    --root | --set | --key | --board | --provider | --owner | --cache | --log-file | --output-file)
    if [ $# -lt 2 ]; then
      echo "swu-update.sh: $1 needs a value" >&2
      exit 2
    fi
    case $1 in
    --action) action=$2 ;;
    --swu-file) swu=$2 ;;
    --result-file) result=$2 ;;
    --installed-criteria) criteria=$2 ;;
    --version-file) version_file=$2 ;;
    --copy1) copy1=$2 ;;
    --copy2) copy2=$2 ;;
    --root) root=$2 ;;
    --set) set=$2 ;;
    --key) key=$2 ;;
    --board) board=$2 ;;
    --provider) provider=$2 ;;
    --owner) owner=$2 ;;
    --cache) cache=$2 ;;
    esac
    shift
    ;;
  *) echo "swu-update.sh: $1 is ignored" >&2 ;;
  esac
  shift
done

# report RESULT_CODE EXTENDED_RESULT_CODE DETAILS: what the handler reads. The
# details have no quotes and no backslashes.
report() {
  printf '{"resultCode": %d, "extendedResultCode": %d, "resultDetails": "%s"}\n' "$1" "$2" "$3" >"$result.new" &&
    mv -- "$result.new" "$result"
  exit
}

# fail EXTENDED_RESULT_CODE DETAILS
fail() {
  echo "swu-update.sh: $2" >&2
  report 0 "$1" "$2"
}

# inactive: copy1 or copy2, whichever is not running.
inactive() {
  running=$(readlink -f "${root:-$(findmnt -n -o SOURCE /)}") || return 1
  case $running in
  "$(readlink -f "$copy1")") echo copy2 ;;
  "$(readlink -f "$copy2")") echo copy1 ;;
  *) return 1 ;;
  esac
}

install_swu() {
  [ -f "$swu" ] || fail $((0x30100202)) 'the SWU is not there'
  if [ -z "$copy1" ] || [ -z "$copy2" ]; then
    fail $((0x30101002)) 'neither the step nor the configuration of the handler says --copy1 and --copy2'
  fi
  copy=$(inactive) || fail $((0x30101003)) 'neither copy is what is running'
  status=0
  echo "swu-update.sh: installing to $set,$copy"
  swupdate -v -e "$set,$copy" ${key:+-k "$key"} ${board:+-H "$board"} -i "$swu" || status=$?
  [ $status -eq 0 ] || fail $((0x30101000 + status)) "swupdate ended with exit status $status"
  report 600 0 ''
}

# apply_swu: with a reboot at once. The cache comes before it, and what fails there
# does not fail the update: the next one comes as a full image then.
apply_swu() {
  if [ -n "$provider" ]; then
    sdc-path -q ${cache:+--base "$cache"} --provider "$provider" --install ${owner:+--owner "$owner"} "$swu" ||
      echo 'swu-update.sh: not cached: the next update will be a full image' >&2
  fi
  report 705 0 ''
}

is_installed() {
  version=''
  [ ! -r "$version_file" ] || IFS= read -r version <"$version_file"
  if [ -n "$criteria" ] && [ "$version" = "$criteria" ]; then report 900 0 ''; else report 901 0 ''; fi
}

if [ -z "$result" ]; then
  echo 'swu-update.sh: no --result-file' >&2
  exit 2
fi
case $action in
download) report 500 0 '' ;; # the handler has downloaded what there is
install) install_swu ;;
apply) apply_swu ;;
cancel) report 801 0 '' ;; # what swupdate began it ends
is-installed) is_installed ;;
*) fail $((0x30101001)) 'unknown action' ;;
esac
