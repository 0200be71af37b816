/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peers of the extension backend: for each the last thing that is wanted, one command at a time.
 *
 *            used, changed
 *   (new) ------------------> add is due --> add runs --> added
 *                                ^  |  failed: later again   |
 *                     used again |  | gone                   | gone
 *                                |  v                        v
 *                          remove is due --> remove runs --> (forgotten)
 *
 * What is wanted may change while a command runs: it is let end, then what is wanted by then is done. A peer's
 * failures delay only that peer. A remove that fails is tried REMOVE_ATTEMPTS times; once, if the daemon was stopped while it
 * ran, since then it may have worked.
 *
 * Peers for which an add may have run stand in a file, with the command that removes them. So what left while the
 * daemon was not there is removed too, and by a daemon that has another backend by then.
 */
#ifndef BACKENDS_EXTENSION_PEERS_H
#define BACKENDS_EXTENSION_PEERS_H

#include "backends/command.h"
#include "lib/problem.h"
#include "subnet/lease.h"

struct event_base;
struct extension_peers;

/* Commands that this works with; borrowed, must live as long as it. */
struct extension_commands {
	struct command add;
	struct command remove;
	int64_t timeout_ms;
};

/*
 * `path`: of the file. What is in it is known as possibly added, and not yet wanted. `stays`: what was added in
 * this boot, by the same command and for the same lease, stands, and is not added again.
 */
struct extension_peers *extension_peers_new(struct event_base *base,
					    const struct extension_commands *commands,
					    const char *path, bool stays);
/* Ends commands that run. The file tells who may be added. */
void extension_peers_free(struct extension_peers *p);

/* Nothing is run before this. */
void extension_peers_go(struct extension_peers *p);
/* `data`: for the command's stdin, NULL: nothing. */
void extension_peers_want(struct extension_peers *p, const struct lease *peer, const char *data);
void extension_peers_gone(struct extension_peers *p, const struct subnet *subnet);
/* All that are wanted have been told: the others that the file knew are removed. */
void extension_peers_sweep(struct extension_peers *p);
void extension_peers_health(const struct extension_peers *p, struct problem_list *ret);

/* The commands of such a file whose peers are to be removed; -ENOENT: there is nothing to remove. Caller gives
 * both to command_fini(). */
int extension_peers_leftover(const char *path, struct extension_commands *ret,
			     struct err *e) MUST_CHECK;

/* The variables of commands: "SUBNET=10.5.3.0/24". What is unset has no text behind the sign. */
#define EXTENSION_VARIABLE_SIZE 80
void extension_variable_net(char buf[static EXTENSION_VARIABLE_SIZE], const char *name,
			    const struct ip_net *net);
void extension_variable_address(char buf[static EXTENSION_VARIABLE_SIZE], const char *name,
				const struct ip_addr *address);

#endif
