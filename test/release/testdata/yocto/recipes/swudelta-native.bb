# SPDX-License-Identifier: MIT
# The tools as they were built for the test.
do_install() {
    mkdir -p ${D}${bindir} ${D}${libdir}/swudelta
    cp ${TEST_TOOLS}/* ${D}${bindir}
    cp ${TEST_SCRIPTS}/DiffGenTool ${TEST_SCRIPTS}/swu-recompress ${D}${bindir}
    cp ${TEST_SCRIPTS}/*.bash ${D}${libdir}/swudelta
}
