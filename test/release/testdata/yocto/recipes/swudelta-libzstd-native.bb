# SPDX-License-Identifier: MIT
do_install() {
    mkdir -p ${D}${libdir}/swudelta
    cp ${TEST_LIBZSTD} ${D}${libdir}/swudelta/libzstd.so.1.5.0
}
