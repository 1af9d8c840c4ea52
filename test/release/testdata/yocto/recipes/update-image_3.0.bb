# SPDX-License-Identifier: MIT
inherit swupdate swu-delta

SRC_URI = "file://fetched.swu;unpack=0"

SWUPDATE_SIGNING = "RSA"
SWUPDATE_PRIVATE_KEY = "${TOPDIR}/key.pem"

SWU_DELTA_SOURCES = "'${TEST_SOURCES}/with space.swu' v1=${TEST_SOURCES}/1/image.swu fetched.swu"
SWU_DELTA_PROVIDER = "Contoso"
SWU_DELTA_UPDATE_NAME = "Gateway"
SWU_DELTA_COMPATIBILITY = "manufacturer=Contoso,model=GW 'manufacturer=Contoso,model=GW 2'"
SWU_DELTA_SCRIPT = "${THISDIR}/files/install.sh"
SWU_DELTA_HANDLER_PROPERTIES = "apiVersion=1.1 'arguments=--mode ab'"
