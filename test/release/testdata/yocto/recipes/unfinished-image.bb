# SPDX-License-Identifier: MIT
inherit swupdate swu-delta

SWU_DELTA_UPDATE_NAME = "Gateway"
