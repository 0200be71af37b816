/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers are asked whether they answer. fabric/reach.c decides whom and when, and what silence means; here
 * are the sockets and the time.
 *
 * Answers are read when there is something else to do: before the next questions, and when somebody looks.
 * So they wake up nobody, and what they took is the kernel's word.
 */
#include <errno.h>
#include <event2/event.h>

#include "fabric/fabric_internal.h"
#include "kernel/echo.h"
#include "lib/clock.h"
#include "lib/log.h"

#define REFUSED_MS 30000 /* then it is tried again whether this process may ask */

static int on_ask(void *arg, int family, enum reach_layer layer, const struct ip_addr *to,
		  uint16_t sequence, uint16_t size_bytes)
{
	const struct fabric *f = arg;
	const struct fabric_probing *p = &f->probing;
	unsigned i = family == AF_INET6;
	struct echo *s = size_bytes ? p->large[i][layer] : p->sockets[i][layer];

	if (s)
		return echo_send(s, to, sequence, size_bytes);
	return size_bytes ? -ENOTSOCK : p->errors[i][layer];
}

static void hear_large(struct fabric_probing *p, struct echo *s, enum reach_layer layer,
		       int64_t now_ms)
{
	struct echo_refusal refusal;
	struct echo_answer a;

	/* First: until they are read the kernel tells of them in place of an answer. */
	while (echo_read_refusal(s, &refusal))
		reach_refused(p->reach, layer, &refusal.to, refusal.sequence, refusal.mtu_bytes);
	while (echo_read(s, &a))
		reach_large_answer(p->reach, layer, &a.from, a.sequence, a.rtt_us, now_ms);
}

void fabric_hear(struct fabric *f)
{
	struct fabric_probing *p = &f->probing;
	int64_t now_ms = clock_boot_ms();

	for (unsigned i = 0; i < ARRAY_LEN(p->sockets); i++) {
		for (enum reach_layer layer = 0; layer < REACH_LAYERS; layer++) {
			struct echo_answer a;

			while (p->sockets[i][layer] && echo_read(p->sockets[i][layer], &a))
				reach_answer(p->reach, layer, &a.from, a.sequence, a.rtt_us,
					     now_ms);
			if (p->large[i][layer])
				hear_large(p, p->large[i][layer], layer, now_ms);
		}
	}
}

/* Without it there is no word about large ones. In the tunnel they fare as containers' do, which are forwarded. */
static void open_large(struct fabric_probing *p, unsigned family, unsigned layer)
{
	bool as_learned = layer == REACH_OVERLAY && family == 1;
	struct err e;

	if (echo_open(&p->from[family][layer], as_learned ? ECHO_LARGE_AS_LEARNED : ECHO_LARGE,
		      &p->large[family][layer], &e) < 0)
		log_info("probes-small", "%s: large packets are not tried", e.text);
}

/* False: this process may not ask. */
static bool open_sockets(struct fabric_probing *p)
{
	for (unsigned i = 0; i < ARRAY_LEN(p->sockets); i++) {
		for (unsigned layer = 0; layer < REACH_LAYERS; layer++) {
			struct err e = { 0 };

			if (p->sockets[i][layer] || !ip_addr_is_set(&p->from[i][layer]))
				continue;
			if (echo_open(&p->from[i][layer], ECHO_SMALL, &p->sockets[i][layer], &e) ==
			    -EACCES) {
				if (!p->refused.code)
					log_info("probes-off",
						 "%s: peers are not asked whether "
						 "they answer",
						 e.text);
				p->refused = e;
				return false;
			}
			p->errors[i][layer] = e.code;
			if (!e.code)
				open_large(p, i, layer);
		}
	}
	p->refused.code = 0;
	return true;
}

static void arm(struct fabric *f)
{
	struct fabric_probing *p = &f->probing;
	int64_t due_ms = MAX(reach_deadline(p->reach), p->turned_ms + REACH_TURN_MS);
	int64_t now_ms = clock_boot_ms();

	if (p->refused.code)
		due_ms = p->turned_ms + REFUSED_MS;
	if (due_ms != INT64_MAX)
		fabric_arm_earlier(f, p->timer, MAX(due_ms - now_ms, (int64_t)0));
}

static void on_turn(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct fabric *f = arg;
	struct fabric_probing *p = &f->probing;
	const struct reach_counts *counts = reach_counts(p->reach);
	bool was_refused = p->refused.code;

	p->turned_ms = clock_boot_ms();
	if (open_sockets(p)) {
		fabric_hear(f);
		reach_turn(p->reach, p->turned_ms);
		if (was_refused) {
			/* Nobody was noted to be asked. */
			f->wants_dirty = true;
			fabric_want_work(f, 0);
		}
	}
	arm(f);
	if (memcmp(p->told, counts->states, sizeof(p->told)) != 0 ||
	    p->black_holes_told[0] != counts->paths[0][PATH_MTU_BLACK_HOLE] ||
	    p->black_holes_told[1] != counts->paths[1][PATH_MTU_BLACK_HOLE]) {
		memcpy(p->told, counts->states, sizeof(p->told));
		for (size_t i = 0; i < ARRAY_LEN(p->black_holes_told); i++)
			p->black_holes_told[i] = counts->paths[i][PATH_MTU_BLACK_HOLE];
		f->ops->problems_changed(f->arg);
	}
}

void fabric_probe(struct fabric *f, int64_t interval_s)
{
	struct fabric_probing *p = &f->probing;

	p->interval_s = interval_s;
	if (!interval_s)
		return;
	p->reach = reach_new(interval_s * 1000, on_ask, f);
	p->timer = evtimer_new(f->base, on_turn, f);
}

/* What its packets are, in the underlay: to look for what filters them. */
static void describe_tunnel(const struct fabric *f, char *buf, size_t size)
{
	const struct backend_device *d = f->devices;

	if (!f->devices_len)
		buf[0] = '\0';
	else if (d->udp_port)
		snprintf(buf, size, "UDP port %u", d->udp_port);
	else if (d->guard[0].protocol)
		snprintf(buf, size, "IP protocol %u", d->guard[0].protocol);
	else
		snprintf(buf, size, "%s", d->name);
}

/* The socket asks from this address from now on. */
static void set_from(struct fabric_probing *p, unsigned family, unsigned layer,
		     const struct ip_addr *from)
{
	if (ip_addr_equal(from, &p->from[family][layer]))
		return;
	p->from[family][layer] = *from;
	echo_close(STEAL(p->sockets[family][layer]));
	echo_close(STEAL(p->large[family][layer]));
}

void fabric_reach_problems(const struct fabric *f, struct problem_list *ret)
{
	const char *const interfaces[] = { f->external.places[0].name, f->external.places[1].name };

	if (f->probing.reach)
		reach_problems(f->probing.reach, f->probing.tunnel, interfaces, ret);
}

void fabric_place_probing(struct fabric *f)
{
	static const struct ip_addr none;
	const struct ip_net *own[] = { &f->own.v4, &f->own.v6 };
	struct fabric_probing *p = &f->probing;
	unsigned underlay = 0;
	unsigned tunnel = 0;

	if (!p->reach)
		return;
	for (size_t d = 0; d < f->devices_len; d++)
		tunnel |= f->devices[d].families;
	for (unsigned i = 0; i < ARRAY_LEN(own); i++) {
		const struct ip_addr *local = &f->external.places[i].local;

		if (!ip_net_is_set(own[i]))
			tunnel &= ~(1u << i);
		if (ip_addr_is_set(local))
			underlay |= 1u << i;
		set_from(p, i, REACH_UNDERLAY, local);
		set_from(p, i, REACH_OVERLAY, tunnel & 1u << i ? &own[i]->addr : &none);
	}
	describe_tunnel(f, p->tunnel, sizeof(p->tunnel));
	fabric_underlay_mtu(f, p->mtu_bytes);
	reach_set_place(p->reach, underlay, tunnel);
	/* What is not there yet is tried again when it is needed. */
	(void)open_sockets(p);
}

void fabric_probe_peer(struct fabric *f, struct peer *p, bool used)
{
	struct reach_size sizes[2][REACH_LAYERS];
	int64_t now_ms = clock_boot_ms();

	if (!f->probing.reach)
		return;
	if (used && !f->probing.refused.code) {
		fabric_packet_sizes(f, p, sizes);
		p->reach = reach_set(f->probing.reach, p->reach, p->member, sizes, now_ms);
	} else if (!used) {
		reach_forget(f->probing.reach, STEAL(p->reach));
	}
	if (p->reach && p->changed)
		reach_changed(p->reach, now_ms);
}

void fabric_continue_probing(struct fabric *f)
{
	if (f->probing.reach && f->settled_once)
		arm(f);
}

void fabric_retry_probing(struct fabric *f)
{
	if (f->probing.refused.code)
		fabric_arm_earlier(f, f->probing.timer, 0);
}

void fabric_end_probing(struct fabric *f)
{
	struct fabric_probing *p = &f->probing;
	struct peer *peer = NULL;

	if (!p->reach)
		return;
	while ((peer = peers_next(f->peers, peer)))
		fabric_probe_peer(f, peer, false);
	for (unsigned i = 0; i < ARRAY_LEN(p->sockets); i++) {
		for (unsigned layer = 0; layer < REACH_LAYERS; layer++) {
			echo_close(p->sockets[i][layer]);
			echo_close(p->large[i][layer]);
		}
	}
	event_free(p->timer);
	reach_free(p->reach);
}

const struct reach_peer *fabric_peer_reach(const struct fabric *f,
					   const struct manager_member *member)
{
	const struct peer *p = member->user;

	return p && !f->probing.refused.code ? p->reach : NULL;
}
