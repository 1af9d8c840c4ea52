# SPDX-License-Identifier: MIT
#
# Delta updates for an update image that meta-swupdate builds.
#
# Inherit it in the recipe of the update image, after swupdate:
#
#   inherit swupdate swu-delta
#
#   SWU_DELTA_PROVIDER = "Contoso"
#   SWU_DELTA_UPDATE_NAME = "Gateway"
#   SWU_DELTA_VERSION = "3.0.0"
#   SWU_DELTA_COMPATIBILITY = "manufacturer=Contoso,model=GW-100"
#   SWU_DELTA_SCRIPT = "${THISDIR}/files/gw-update.sh"
#   SWU_DELTA_SOURCES = "/srv/releases/gw-1.0.0.swu /srv/releases/gw-2.0.0.swu"
#
# and ${DEPLOY_DIR_IMAGE}/${SWU_DELTA_NAME}/ will have what is to be imported: the
# recompressed and signed target, a delta from each source that gives a smaller
# file, and the import manifest; besides, summary.tsv.
#
# doc/yocto.md has all variables, and how to set up a build. Tasks work without network.

# ------------------------------------------------------------------ variables ---

# What devices run, the artefacts of record, not rebuilds of them: words [NAME=]FILE,
# quoted as for a shell. A path that is not absolute starts where SRC_URI is unpacked;
# such a file must be in SWUPDATE_SRC_URI_EXCLUDE too, or it becomes part of the
# update. Files are known by content: where they lie is not part of any signature.
# None: the update is one that devices keep as a source for later deltas.
SWU_DELTA_SOURCES ?= ""

# How many devices run each source, where there are more than four (release-deltas --help).
SWU_DELTA_DEVICES ?= ""

# The SWU to recompress, and what the products are called.
SWU_DELTA_TARGET ?= "${SWUDEPLOYDIR}/${IMAGE_LINK_NAME}.swu"
SWU_DELTA_NAME ?= "${PN}-${SWU_DELTA_VERSION}"

# The command that signs the recompressed target: it gets the path of sw-description
# as last argument and must create PATH.sig. Files that it depends on are known by
# content. The default does what SWUPDATE_SIGNING says.
SWU_DELTA_SIGN ?= "${@swu_delta_sign(d)}"
SWU_DELTA_SIGN_FILES ?= "${@swu_delta_sign_files(d)}"

# The devices: kinds of delta processors, as release-deltas has them, "native 1.0" where
# some have our library and some a stock one; memory and temporary space for applying a
# delta. Where all have our library the update stays as it was built. The devices' libzstd
# must write the same bytes as the one here. 1.5.0 is that of Microsoft's packages and of
# swudelta-device; a delta processor that was built with the libzstd of the release wants
# "${STAGING_LIBDIR_NATIVE}/libzstd.so.1".
SWU_DELTA_DEVICE ?= "1.0"
SWU_DELTA_DEVICE_MEMORY ?= ""
SWU_DELTA_DEVICE_TMP ?= ""
SWU_DELTA_RECOMPRESS ?= ""
SWU_DELTA_LIBZSTD ?= "${STAGING_LIBDIR_NATIVE}/swudelta/libzstd.so.1.5.0"

# Memory for making all deltas, and how many to make at a time. They do not
# change what is made, but that deltas are slightly larger where memory is short.
SWU_DELTA_MEMORY ?= "2G"
SWU_DELTA_JOBS ?= ""

# The import manifest: the update's identity; the devices that it is for, one word
# for each set of properties; criteria, script, handler and its properties, as
# adu-manifest has them. The handler is microsoft/swupdate:2 unless another is named,
# and needs a script. SWU_DELTA_MANIFEST_FLAGS are further flags of adu-manifest.
SWU_DELTA_PROVIDER ?= ""
SWU_DELTA_UPDATE_NAME ?= ""
SWU_DELTA_VERSION ?= "${PV}"
SWU_DELTA_COMPATIBILITY ?= ""
SWU_DELTA_INSTALLED_CRITERIA ?= "${SWU_DELTA_VERSION}"
SWU_DELTA_SCRIPT ?= ""
SWU_DELTA_HANDLER ?= ""
SWU_DELTA_HANDLER_PROPERTIES ?= ""
SWU_DELTA_MANIFEST_FLAGS ?= ""

# ------------------------------------------------------------------ functions ---

def swu_delta_words(text):
    import shlex
    return shlex.split(text or "")

def swu_delta_quote(words):
    import shlex
    return " ".join(shlex.quote(w) for w in words)

# The sources as (name, path), named as release-deltas does it.
def swu_delta_sources(d):
    folder = d.getVar("UNPACKDIR") or d.getVar("WORKDIR")
    found = []
    for word in swu_delta_words(d.getVar("SWU_DELTA_SOURCES")):
        name, equals, path = word.partition("=")
        if not equals or "/" in name:
            path = word
            name = os.path.basename(path)
            name = name[:-4] if name.endswith(".swu") else name
        found.append((name, os.path.join(folder, path)))
    return found

def swu_delta_operands(d):
    return swu_delta_quote("%s=%s" % source for source in swu_delta_sources(d))

# Files for a task's file-checksums. What SRC_URI unpacks has its own.
def swu_delta_checksums(paths):
    return " ".join("%s:%s" % (p, os.path.exists(p)) for p in paths if p)

def swu_delta_source_checksums(d):
    folder = os.path.join(d.getVar("WORKDIR"), "")
    return swu_delta_checksums(p for _, p in swu_delta_sources(d) if not p.startswith(folder))

def swu_delta_sign(d):
    scheme = d.getVar("SWUPDATE_SIGNING")
    if not scheme:
        return ""
    flags = []
    if scheme in ("RSA", "RSA-PSS", "1"):
        flags = ["--scheme", "rsa-pss" if scheme == "RSA-PSS" else "rsa", "--key", d.getVar("SWUPDATE_PRIVATE_KEY")]
    elif scheme == "CMS" and not d.getVar("SWUPDATE_CMS_EXTRA_CERTS") and len((d.getVar("SWUPDATE_CMS_KEY") or "").split()) == 1:
        flags = ["--scheme", "cms", "--key", d.getVar("SWUPDATE_CMS_KEY"), "--cert", d.getVar("SWUPDATE_CMS_CERT")]
    if not all(flags) or not flags:
        raise bb.parse.SkipRecipe("SWU_DELTA_SIGN is not set, and SWUPDATE_SIGNING = \"%s\" does not tell how to sign one sw-description" % scheme)
    if d.getVar("SWUPDATE_PASSWORD_FILE"):
        flags += ["--passphrase-file", d.getVar("SWUPDATE_PASSWORD_FILE")]
    return 'swu-sign %s -o "$1.sig"' % swu_delta_quote(w.strip() for w in flags)

def swu_delta_sign_files(d):
    scheme = d.getVar("SWUPDATE_SIGNING")
    if scheme == "CMS":
        return "%s %s" % (d.getVar("SWUPDATE_CMS_KEY") or "", d.getVar("SWUPDATE_CMS_CERT") or "")
    return d.getVar("SWUPDATE_PRIVATE_KEY") or "" if scheme else ""

def swu_delta_flags(pairs):
    return swu_delta_quote(w for flag, value in pairs if value for w in (flag, value))

def swu_delta_kinds(d):
    return (d.getVar("SWU_DELTA_DEVICE") or "").split()

def swu_delta_device_flags(d):
    return swu_delta_flags([("--device", kind) for kind in swu_delta_kinds(d)] + [("--libzstd", d.getVar("SWU_DELTA_LIBZSTD"))])

def swu_delta_stock_kinds(d):
    return [kind for kind in swu_delta_kinds(d) if kind != "native"]

# Stock devices decide how images are stored; native ones take them as they are.
def swu_delta_recompress_flags(d):
    stock = swu_delta_stock_kinds(d)
    if not stock and not d.getVar("SWU_DELTA_RECOMPRESS"):
        return ""
    return swu_delta_flags([
        ("--device", (stock or ["native"])[0]),
        ("--libzstd", d.getVar("SWU_DELTA_LIBZSTD")),
        ("--recompress", d.getVar("SWU_DELTA_RECOMPRESS")),
        ("--sign", d.getVar("SWU_DELTA_SIGN")),
    ])

def swu_delta_generate_flags(d):
    return swu_delta_flags([
        ("--device-memory", d.getVar("SWU_DELTA_DEVICE_MEMORY")),
        ("--device-tmp", d.getVar("SWU_DELTA_DEVICE_TMP")),
        ("--memory", d.getVar("SWU_DELTA_MEMORY")),
        ("--jobs", d.getVar("SWU_DELTA_JOBS")),
    ])

def swu_delta_manifest_flags(d):
    flags = [
        ("--provider", d.getVar("SWU_DELTA_PROVIDER")),
        ("--name", d.getVar("SWU_DELTA_UPDATE_NAME")),
        ("--version", d.getVar("SWU_DELTA_VERSION")),
        ("--installed-criteria", d.getVar("SWU_DELTA_INSTALLED_CRITERIA")),
        ("--script", d.getVar("SWU_DELTA_SCRIPT")),
        ("--handler", d.getVar("SWU_DELTA_HANDLER")),
        ("--devices", d.getVar("SWU_DELTA_DEVICES")),
    ]
    flags += [("--compat", w) for w in swu_delta_words(d.getVar("SWU_DELTA_COMPATIBILITY"))]
    flags += [("--property", w) for w in swu_delta_words(d.getVar("SWU_DELTA_HANDLER_PROPERTIES"))]
    return swu_delta_flags(flags) + " " + (d.getVar("SWU_DELTA_MANIFEST_FLAGS") or "")

python () {
    for name in ("SWU_DELTA_PROVIDER", "SWU_DELTA_UPDATE_NAME", "SWU_DELTA_COMPATIBILITY"):
        if not d.getVar(name):
            raise bb.parse.SkipRecipe("%s is not set" % name)
    if not swu_delta_kinds(d):
        raise bb.parse.SkipRecipe("SWU_DELTA_DEVICE is empty")
    stock = swu_delta_stock_kinds(d)
    if "1.0" in stock and len(stock) > 1 and d.getVar("SWU_DELTA_RECOMPRESS") != "none":
        raise bb.parse.SkipRecipe("SWU_DELTA_DEVICE: %s compress images in different ways, and an update has one target: set SWU_DELTA_RECOMPRESS to none, or make two updates" % " and ".join(stock))
}

# ---------------------------------------------------------------------- tasks ---

inherit deploy

DEPENDS += "swudelta-native swudelta-libzstd-native zstd-native"

SWU_DELTA_DIR = "${WORKDIR}/swu-delta"
SWU_DELTA_FULL = "${SWU_DELTA_DIR}/${SWU_DELTA_NAME}-recompressed.swu"

# Names and content count, places do not.
SWU_DELTA_SOURCES[vardepvalue] = "${@' '.join(name for name, path in swu_delta_sources(d))}"
SWU_DELTA_DEVICES[vardepvalue] = "${@bool(d.getVar('SWU_DELTA_DEVICES'))}"
SWU_DELTA_LIBZSTD[vardepvalue] = "${@os.path.basename(d.getVar('SWU_DELTA_LIBZSTD') or '')}"
SWU_DELTA_MEMORY[vardepvalue] = ""
SWU_DELTA_JOBS[vardepvalue] = ""

do_delta_recompress() {
    if [ -n "${@'1' if swu_delta_recompress_flags(d) else ''}" ]; then
        swu-recompress -v ${@swu_delta_recompress_flags(d)} -o ${SWU_DELTA_FULL} ${SWU_DELTA_TARGET}
    else
        cp ${SWU_DELTA_TARGET} ${SWU_DELTA_FULL}
    fi
}
do_delta_recompress[cleandirs] = "${SWU_DELTA_DIR}"
do_delta_recompress[file-checksums] += "${@swu_delta_checksums((d.getVar('SWU_DELTA_SIGN_FILES') or '').split())}"
addtask delta_recompress after do_swuimage do_prepare_recipe_sysroot

# What was made before the task was interrupted is not made again.
do_delta_generate() {
    release-deltas --as-is --deltas-only -o ${SWU_DELTA_DIR} ${@swu_delta_device_flags(d)} ${@swu_delta_generate_flags(d)} ${SWU_DELTA_FULL} ${@swu_delta_operands(d)}
}
do_delta_generate[file-checksums] += "${@swu_delta_source_checksums(d)}"
addtask delta_generate after do_delta_recompress

# Each delta is applied once more, by itself, to the file that devices have. There is none from
# a source that would not save anything.
do_delta_verify() {
    verified=""
    for operand in ${@swu_delta_operands(d)}; do
        for kind in ${SWU_DELTA_DEVICE}; do
            delta="${SWU_DELTA_DIR}/${operand%%=*}-to-${SWU_DELTA_NAME}${@'.$kind' if len(swu_delta_kinds(d)) > 1 else ''}.diff"
            [ -e "$delta" ] || continue
            bsdump --check "$kind" -o /dev/null "$delta"
            bsapply --libzstd ${SWU_DELTA_LIBZSTD} "${operand#*=}" "$delta" | cmp - ${SWU_DELTA_FULL}
            verified=yes
            bbnote "$delta makes ${SWU_DELTA_FULL}"
        done
    done
    [ -n "$verified" ] || for delta in ${SWU_DELTA_DIR}/*.diff; do
        [ ! -e "$delta" ] || bbfatal "$delta was not verified"
    done
}
addtask delta_verify after do_delta_generate

do_delta_manifest() {
    release-deltas --as-is -o ${SWU_DELTA_DIR} ${@swu_delta_device_flags(d)} ${@swu_delta_generate_flags(d)} ${@swu_delta_manifest_flags(d)} ${SWU_DELTA_FULL} ${@swu_delta_operands(d)}
}
do_delta_manifest[file-checksums] += "${@swu_delta_checksums([d.getVar('SWU_DELTA_DEVICES'), d.getVar('SWU_DELTA_SCRIPT')])}"
addtask delta_manifest after do_delta_verify

do_deploy() {
    install -d ${DEPLOYDIR}/${SWU_DELTA_NAME}
    install -m 0644 ${SWU_DELTA_DIR}/upload/* ${SWU_DELTA_DIR}/summary.tsv ${DEPLOYDIR}/${SWU_DELTA_NAME}/
}
addtask deploy after do_delta_manifest before do_build
