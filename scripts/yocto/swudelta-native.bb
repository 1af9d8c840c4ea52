# SPDX-License-Identifier: MIT
#
# The tools that swu-delta.bbclass runs, as they were built elsewhere: no Go of a
# certain version is asked of the release that builds the image, and no module is
# fetched. In a checkout,
#
#   mkdir -p swudelta && CGO_ENABLED=0 go build -trimpath -o swudelta/bin/ ./cmd/...
#   cp -r scripts LICENSE swudelta && tar -czf swudelta-$(uname -m).tar.gz swudelta
#
# makes the archive; put it into files/ beside this recipe, or into a folder of
# FILESEXTRAPATHS, or give a URL and its checksum in SRC_URI.

SUMMARY = "Delta updates for SWUpdate images on Azure Device Update"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=a7b72608531e496bbe3eac195a18170f"

SRC_URI = "file://swudelta-${BUILD_ARCH}.tar.gz"

# Releases from 5.1 on unpack into UNPACKDIR, and refuse a recipe in which that is
# WORKDIR. Earlier ones do not know it, and unpack into WORKDIR.
S = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}/swudelta"

inherit native

INHIBIT_DEFAULT_DEPS = "1"
INHIBIT_SYSROOT_STRIP = "1"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${bindir}
    install -m 0755 ${S}/bin/* ${D}${bindir}
    for script in DiffGenTool swu-recompress; do
        install -m 0755 ${S}/scripts/$script ${D}${bindir}
    done
    install -d ${D}${libdir}/swudelta
    install -m 0644 ${S}/scripts/recompress.bash ${D}${libdir}/swudelta
}
