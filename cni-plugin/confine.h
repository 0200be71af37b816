/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives up what the work ahead does not need, in steps, as it becomes known what that is.
 *
 * The plugin runs as root on input that a user may have a hand in. None of this is needed for
 * correct input, and all of it limits what an error in handling wrong input could be used for.
 * Plugins that are executed get root's capabilities again from the kernel, and are never started
 * under the filter. Source: capabilities(7), seccomp(2).
 */
#ifndef CNI_PLUGIN_CONFINE_H
#define CNI_PLUGIN_CONFINE_H

/*
 * Before any input is read: nothing open but the three standard streams, no blocked signals, no
 * core dumps, and of the capabilities only those for networks, namespaces, and opening a namespace
 * by somebody's /proc/PID.
 */
void confine_process(void);

/* When the namespace is open: not the last of these. State may be another user's: that right stays. */
void confine_to_network(void);

/*
 * When it is known that no other plugin has to be executed: no program can be started any more,
 * nothing mounted, no module loaded, no other process looked into.
 */
void confine_to_self(void);

#endif
