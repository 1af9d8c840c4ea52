# SPDX-License-Identifier: MIT

SUMMARY = "Delta processor for the Azure Device Update agent"
DESCRIPTION = "libadudiffapi.so, through which the agent rebuilds SWUpdate archives from \
deltas, and tools to apply deltas, to look after the agent's cache, to try a deployment, \
and to explain result codes. It takes the place of Microsoft's delta processor."

require swudelta.inc

COMPATIBLE_HOST = "(x86_64|aarch64|arm).*-linux"

SWUDELTA_TOOLS = "adu-deploy adu-probe adu-result bsapply sdc-path"
GO_INSTALL = "${@' '.join('./cmd/' + tool for tool in d.getVar('SWUDELTA_TOOLS').split())}"

# As scripts/build-libadudiffapi does it: a Go runtime cannot be unloaded, so dlclose
# must not try (-z nodelete).
do_compile:append() {
    CGO_ENABLED=1 ${GO} build -trimpath -modcacherw -buildmode=c-shared -o ${B}/libadudiffapi.so -ldflags="-extldflags \
        '${GO_EXTLDFLAGS} -Wl,-soname,libadudiffapi.so -Wl,--version-script,${S}/src/${GO_IMPORT}/lib/libadudiffapi/exports.map -Wl,-z,nodelete -Wl,-z,relro'" \
        ./lib/libadudiffapi
}

do_install() {
    install -d ${D}${bindir} ${D}${libdir} ${D}${includedir}
    for tool in ${SWUDELTA_TOOLS}; do
        install -m 0755 ${B}/${GO_BUILD_BINDIR}/$tool ${D}${bindir}
    done
    install -m 0755 ${B}/libadudiffapi.so ${D}${libdir}
    install -m 0644 ${S}/src/${GO_IMPORT}/lib/libadudiffapi/adudiffapi.h ${D}${includedir}
}

# An agent opens the library by this name, without a version behind it.
FILES_SOLIBSDEV = ""
FILES:${PN} += "${libdir}/libadudiffapi.so"
INSANE_SKIP:${PN} += "dev-so"
# go.bbclass has its own files there.
FILES:${PN}-dev += "${includedir}"

# Loaded at run time, so nothing finds them by itself.
RDEPENDS:${PN} += "swudelta-libzstd zlib liblzma lz4 libbz2"
RCONFLICTS:${PN} += "azure-device-update-diffs iot-hub-device-update-delta-processor"
