# SPDX-License-Identifier: MIT
# The tasks that every recipe has, and what sstate does in them: copying what a task
# made to where others find it.

bbnote() {
    echo "NOTE: $*"
}

python sstate_install() {
    import shutil
    task = "do_" + d.getVar("BB_CURRENTTASK").removeprefix("do_")
    shutil.copytree(d.getVarFlag(task, "sstate-inputdirs"), d.getVarFlag(task, "sstate-outputdirs"), dirs_exist_ok=True)
}

# From 5.1 on there is UNPACKDIR (the test sets it), and what these releases refuse.
python () {
    if d.getVar("UNPACKDIR") and d.getVar("UNPACKDIR") == d.getVar("WORKDIR"):
        bb.fatal("Using UNPACKDIR = ${WORKDIR} is not supported")
    for task in d.getVar("SSTATETASKS").split():
        d.appendVarFlag(task, "postfuncs", " sstate_install")
    for name in d.getVar("DEPENDS").split():
        d.appendVarFlag("do_prepare_recipe_sysroot", "depends", " %s:do_populate_sysroot" % name)
}

addtask fetch
python do_fetch() {
    bb.fetch2.Fetch(d.getVar("SRC_URI").split(), d).download()
}
do_fetch[file-checksums] = "${@bb.fetch.get_checksum_file_list(d)}"

addtask unpack after do_fetch
python do_unpack() {
    bb.fetch2.Fetch(d.getVar("SRC_URI").split(), d).unpack(d.getVar("UNPACKDIR") or d.getVar("WORKDIR"))
}
do_unpack[cleandirs] = "${@d.getVar('UNPACKDIR') or d.getVar('S')}"

addtask prepare_recipe_sysroot after do_fetch
do_prepare_recipe_sysroot() {
    :
}

addtask configure after do_unpack do_prepare_recipe_sysroot
do_configure() {
    :
}

addtask compile after do_configure
do_compile() {
    :
}

addtask install after do_compile
do_install() {
    :
}
do_install[cleandirs] = "${D}"

addtask populate_sysroot after do_install
do_populate_sysroot() {
    if [ -d ${D} ]; then
        mkdir -p ${STAGING_DIR_NATIVE}
        cp -R ${D}/. ${STAGING_DIR_NATIVE}
    fi
}

addtask build after do_populate_sysroot
do_build() {
    :
}
