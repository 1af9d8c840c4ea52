# SPDX-License-Identifier: MIT

SUMMARY = "Delta updates for SWUpdate images on Azure Device Update: tools of build hosts"

require swudelta.inc

inherit native

GO_INSTALL = "./cmd/..."

do_install() {
    install -d ${D}${bindir} ${D}${libdir}/swudelta
    install -m 0755 ${B}/bin/* ${D}${bindir}
    for script in DiffGenTool swu-recompress; do
        install -m 0755 ${S}/src/${GO_IMPORT}/scripts/$script ${D}${bindir}
    done
    install -m 0644 ${S}/src/${GO_IMPORT}/scripts/*.bash ${D}${libdir}/swudelta
}
