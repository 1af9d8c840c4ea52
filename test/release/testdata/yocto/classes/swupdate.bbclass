# SPDX-License-Identifier: MIT
# Of meta-swupdate's class: the task that makes the SWU, and where it leaves it.
SWUDEPLOYDIR = "${WORKDIR}/deploy-${PN}-swuimage"
SSTATETASKS += "do_swuimage"
do_swuimage[sstate-inputdirs] = "${SWUDEPLOYDIR}"
do_swuimage[sstate-outputdirs] = "${DEPLOY_DIR_IMAGE}"
do_swuimage[cleandirs] = "${SWUDEPLOYDIR}"
do_swuimage[file-checksums] = "${TEST_SWU}:True"
do_swuimage() {
    cp ${TEST_SWU} ${SWUDEPLOYDIR}/${PN}-20240101.swu
    ln -s ${PN}-20240101.swu ${SWUDEPLOYDIR}/${IMAGE_LINK_NAME}.swu
}
addtask do_swuimage after do_unpack do_prepare_recipe_sysroot before do_build
