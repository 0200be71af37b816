/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which peers answer: each is asked by ICMP echo at its address in the underlay, and inside the fabric at
 * the address of its tunnel device, the first of its subnet, which a host of flannel has as well. Pure:
 * no socket, no event loop, no log.
 *
 *   new ──answers──> well ──three times no answer──> silent ──answers──> well
 *    └─────three times no answer───────────────────────^
 *
 * Who is new is asked a moment later, since it may hear of us after we have of it. Who is well is asked once in an
 * interval, all spread over it; who has not answered the last time, and who is new, each second; who has been silent for long, once a minute. However many they are, so many
 * a second at most: then the intervals grow.
 *
 * What is told of silence depends on what answers:
 *
 *   the tunnel                   all is well, whatever the underlay says: ICMP may be filtered there
 *   the underlay, not the tunnel a tunnel's packets do not arrive, one way or the other
 *   neither                      the host is down, or the way to it
 *   nobody at all                it is this host that is cut off
 *
 * A backend without devices has nothing inside the fabric that always answers: there the underlay is all.
 *
 * On the way that containers' packets take the question is as large as they are, as long as that is answered
 * (fabric/path_mtu.h). Elsewhere, and where it is not, a second one of such a size goes along now and then:
 * REACH_LARGE_PER_TURN peers in a turn, and what finds no room goes with the next one.
 */
#ifndef FABRIC_REACH_H
#define FABRIC_REACH_H

#include "fabric/path_mtu.h"
#include "lib/problem.h"
#include "subnet/manager.h"

#define REACH_LOST_MAX       3 /* so many questions without an answer are silence */
#define REACH_TURN_MS        100
#define REACH_PER_TURN       10 /* peers that are asked in a turn: 100 a second */
#define REACH_LARGE_PER_TURN 5
#define REACH_NEW_MS                                                                               \
	2000 /* a new peer has our lease by then: it drops, and names, strangers' packets */
#define REACH_QUICK_MS      1000
#define REACH_HASTE_MS      500 /* who answers within half of it, and is doubted as to large packets */
#define REACH_LONG_MS       300000 /* silent for longer than this: */
#define REACH_LONG_EVERY_MS 60000
#define REACH_BUCKETS       12

enum reach_layer { REACH_UNDERLAY, REACH_OVERLAY };
#define REACH_LAYERS 2
const char *reach_layer_name(enum reach_layer layer);

struct reach;
struct reach_peer;

/* What is known of one address of a peer. */
struct reach_way {
	bool has_address : 1; /* or is not asked */
	bool awaited : 1;     /* the last question's answer */
	bool instead : 1;     /* and that question was a large one, alone */
	uint8_t lost;         /* questions without an answer since the last one, 255 at most */
	int16_t error;        /* why the last question did not leave this host, as -errno; or 0 */
	uint32_t answered;    /* of the last 32 those that were, the last one in the lowest bit */
	int32_t rtt_us;       /* the last time; -1: not known */
	uint32_t heard;       /* clock_tenths; 0: never */
	struct path_mtu path; /* whether large ones pass */
	uint8_t asked;        /* how many of the last 32 questions are counted in */
};
_Static_assert(sizeof(struct reach_way) <= 48, "there are four for each peer");

/* What packets are there: as IP packets, and what carries them adds. 0: large ones are not asked. */
struct reach_size {
	uint16_t bytes;
	uint16_t overhead_bytes;
};

enum reach_state { REACH_NEW, REACH_WELL, REACH_TUNNEL_SILENT, REACH_SILENT };
#define REACH_STATES 4
/* "new", "ok", "tunnel-silent", "silent" */
const char *reach_state_name(enum reach_state state);

/* Sends one question; 0, or why it did not leave this host, as -errno. size_bytes: of the packet, which
 * must arrive in one piece; 0: as small as it may be. -EMSGSIZE: what it would leave by is smaller. */
typedef int reach_ask_fn(void *arg, int family, enum reach_layer layer, const struct ip_addr *to,
			 uint16_t sequence, uint16_t size_bytes);

/* interval_ms: of who is well. */
struct reach *reach_new(int64_t interval_ms, reach_ask_fn *ask, void *arg);
void reach_free(struct reach *r); /* after all peers */

/* Families, mask, 1 for IPv4, 2 for IPv6: in which this host has a place in the underlay, and in which a
 * device of the fabric carries packets. Holds for what reach_set says from now on. */
void reach_set_place(struct reach *r, unsigned underlay, unsigned tunnel);
/*
 * A peer that is used, or whose lease says something else now, or after reach_set_place: what is asked at
 * another address than before is new, and large packets may pass another way. `p` NULL: it was not asked so
 * far. sizes: by family, IPv4 first. The member is borrowed until reach_forget.
 */
struct reach_peer *reach_set(struct reach *r, struct reach_peer *p,
			     const struct manager_member *member,
			     const struct reach_size sizes[static 2][REACH_LAYERS], int64_t now_ms);
/* What its lease says, its addresses apart, is another now: silence of its tunnel since then is told so. */
void reach_changed(struct reach_peer *p, int64_t now_ms);
/* `p` may be NULL. */
void reach_forget(struct reach *r, struct reach_peer *p);

/* Asks those whose time has come, REACH_PER_TURN at most. */
void reach_turn(struct reach *r, int64_t now_ms);
/* When the next turn has something to do; INT64_MAX: never. */
int64_t reach_deadline(const struct reach *r);
/* An answer from `from`; false: nobody waits for it. */
bool reach_answer(struct reach *r, enum reach_layer layer, const struct ip_addr *from,
		  uint16_t sequence, int32_t rtt_us, int64_t now_ms);

/* An answer to a large question from `from`. */
void reach_large_answer(struct reach *r, enum reach_layer layer, const struct ip_addr *from,
			uint16_t sequence, int32_t rtt_us, int64_t now_ms);
/* A large question to `to` was refused on its way, because no more than mtu_bytes pass; 0: not told. */
void reach_refused(struct reach *r, enum reach_layer layer, const struct ip_addr *to,
		   uint16_t sequence, uint16_t mtu_bytes);

/* Adds what silence there is, with what is likely behind it. `tunnel`: what its packets are, for
 * people: "UDP 8472". interfaces: in the underlay, IPv4 and IPv6, likewise; NULL or "": not known. */
void reach_problems(const struct reach *r, const char *tunnel,
		    const char *const interfaces[static 2], struct problem_list *ret);

/* What is known of a peer in a family: NULL if it is not asked there. */
const struct reach_way *reach_way(const struct reach_peer *p, int family, enum reach_layer layer);
/* The address that it is asked at there; unset if it is not. */
struct ip_addr reach_address(const struct reach_peer *p, int family, enum reach_layer layer);
/* The way that its packets take: through the tunnel, where there is one. NULL: it is not asked. `p` may
 * be NULL. */
const struct reach_way *reach_main_way(const struct reach_peer *p);
/* Of the last questions, those without an answer; 0 before the first. */
unsigned reach_loss_percent(const struct reach_way *w);
/* The worse of its families'. */
enum reach_state reach_state(const struct reach_peer *p);
/* Whether containers' packets pass whole, in a family: of the way that they take. */
enum path_mtu_state reach_path(const struct reach_peer *p, int family);

/* How large containers' packets are that go there; 0: it is not asked in that family. */
uint16_t reach_packet_bytes(const struct reach_peer *p, int family);

struct reach_counts {
	size_t states[2][REACH_STATES]; /* peers in each, IPv4 and IPv6 */
	/* Likewise, by whether large packets pass on the way that containers' take. */
	size_t paths[2][PATH_MTU_STATES];
	uint64_t asked[REACH_LAYERS]; /* without those that go along */
	uint64_t answered[REACH_LAYERS];
	/* Answers that took at most reach_buckets_us[i], and longer than the one before. */
	uint64_t buckets[REACH_LAYERS][REACH_BUCKETS + 1];
	uint64_t rtt_sum_us[REACH_LAYERS];
};
extern const int32_t reach_buckets_us[REACH_BUCKETS];
const struct reach_counts *reach_counts(const struct reach *r);

#endif
