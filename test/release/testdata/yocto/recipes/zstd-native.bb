# SPDX-License-Identifier: MIT
do_install() {
    mkdir -p ${D}${libdir}
    cp ${TEST_LIBZSTD} ${D}${libdir}/libzstd.so.1
}
