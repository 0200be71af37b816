/* SPDX-License-Identifier: Apache-2.0 */
/* Where the CNI plugin is, for those who run it: the daemon to keep what it made, fabricctl to show it. */
#ifndef FABRIC_PLUGIN_FIND_H
#define FABRIC_PLUGIN_FIND_H

#define PLUGIN_NAME        "flannel"
#define PLUGIN_DIRECTORIES "/usr/local/libexec/cni, /usr/lib/cni, /opt/cni/bin, /usr/libexec/cni"

/*
 * Its path: `told` if that is not "", else the first of PLUGIN_DIRECTORIES that has it, where `make
 * install` and packages put it and runtimes look for it. NULL: there is none. Caller frees.
 */
char *plugin_find(const char *told);

#endif
