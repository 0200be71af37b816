/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would be done, without doing it: while a rehearsal is on, nothing that this process says changes
 * the kernel. Requests that would are not sent, and succeed; what is asked is asked.
 *
 * One switch for the process, since everything that writes has to look at it: kernel/netlink.c,
 * sysctl.c, wireguard.c and wireguard_go.c.
 */
#ifndef KERNEL_REHEARSAL_H
#define KERNEL_REHEARSAL_H

#include <stdbool.h>

void rehearsal_set(bool on);
bool rehearsal_is_on(void);

#endif
