/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last known state: configuration, own lease and peers as they were when the store was last
 * heard, in one file. After a reboot with the store down the data path is built from it. It is a
 * cache: a file that cannot be read is no file, and a version that is newer than ours is refused,
 * not guessed.
 */
#ifndef SUBNET_LAST_KNOWN_H
#define SUBNET_LAST_KNOWN_H

#include "subnet/lease.h"

#define LAST_KNOWN_MAX_SIZE ((size_t)64 << 20)

struct last_known {
	char *network;     /* which prefix or directory this is of: another's state is of no use */
	char *cluster;     /* whose it was; "": nothing told */
	char *config;      /* the network configuration's text */
	struct lease *own; /* NULL if there was none */
	int64_t expires_wall_s; /* of our lease, Unix time; 0: never */
	int64_t written_wall_s; /* when this was written; 0: unknown */
	uint64_t revision;      /* of the store, as far as this goes; 0: unknown */
	struct lease **peers;
	size_t peers_len;
	size_t peers_left; /* of which only the number was read */
};

/*
 * How long our lease still lives, INT64_MAX: for ever. If the clock was set back since the state
 * was written, nobody knows how long ago that was: no longer than what was left then.
 */
int64_t last_known_left_ms(const struct last_known *k, int64_t wall_ms);

/* Text of the file; caller frees. */
char *last_known_format(const struct last_known *k);
/*
 * The text is one line of JSON about this host, and then a line for each peer, so that a start with
 * the store, which needs no peers, need not read them: that is what last_known_parse_head does.
 * -EINVAL with the reason. The result is released with last_known_fini.
 */
int last_known_parse_head(const char *text, size_t size, struct last_known *ret,
			  struct err *e) MUST_CHECK;
int last_known_parse(const char *text, size_t size, struct last_known *ret,
		     struct err *e) MUST_CHECK;
void last_known_fini(struct last_known *k);

#endif
