# SPDX-License-Identifier: MIT

SUMMARY = "The libzstd whose bytes delta updates are made for"
DESCRIPTION = "A device compresses an image that it rebuilt again, and compares digests. So \
host and device need a libzstd that writes the same bytes, release after release. This one \
lies beside that of the system, in a folder of its own, and nothing else links to it."
HOMEPAGE = "https://facebook.github.io/zstd"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSE;md5=c7f0b161edbe52f5f345a3d1311d0b32"

SRC_URI = "git://github.com/facebook/zstd.git;branch=release;protocol=https"
SRCREV = "a488ba114ec17ea1054b9057c26a046fc122b3b6"

# As scripts/get-libzstd builds it: with threads, which change the frames, and without
# formats before 0.8.
do_compile() {
    ${CC} ${CPPFLAGS} ${CFLAGS} ${LDFLAGS} -shared -fPIC -pthread -DXXH_NAMESPACE=ZSTD_ -DZSTD_MULTITHREAD -DZSTD_LEGACY_SUPPORT=0 \
        -Wl,-Bsymbolic -Wl,-z,noexecstack -Wl,-soname,libzstd.so.${PV} -o ${B}/libzstd.so.${PV} \
        ${S}/lib/common/*.c ${S}/lib/compress/*.c ${S}/lib/decompress/*.c
}

do_install() {
    install -d ${D}${nonarch_libdir}/swudelta
    install -m 0755 ${B}/libzstd.so.${PV} ${D}${nonarch_libdir}/swudelta
}

FILES:${PN} = "${nonarch_libdir}/swudelta"
PRIVATE_LIBS = "libzstd.so.${PV}"

BBCLASSEXTEND = "native"
