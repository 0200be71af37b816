/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a network device's driver is, and what it does in the kernel's place: the features that
 * `ethtool -k` shows. Reading only. Source: linux/ethtool.h, by SIOCETHTOOL, which needs no privilege for it.
 */
#ifndef KERNEL_ETHTOOL_H
#define KERNEL_ETHTOOL_H

#include "lib/err.h"

#define ETHTOOL_NAME_SIZE 32

/* "vmxnet3". -EOPNOTSUPP: the driver does not say; -ENODEV. */
int ethtool_driver(const char *device, char ret[static ETHTOOL_NAME_SIZE],
		   struct err *e) MUST_CHECK;

/* Whether a feature by its name in the kernel ("tx-udp_tnl-segmentation") is on. -ENOENT: the kernel has
 * none of that name. */
int ethtool_feature(const char *device, const char *feature, bool *ret, struct err *e) MUST_CHECK;

#endif
