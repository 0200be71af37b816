/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The own lease, from the first claim on.
 *
 *   choose ──┬─> create ─────────────────────────────┬─> verify ──> HELD ──> lost ──> create ...
 *            └─> adopt: update, keepalive ──> alive ─┘     └─> yield   └──> conflict
 *
 * Create and adopt end in the same place: the lease is known to live, and the picture is whole up
 * to its creation. Then whoever is older and overlaps has the right, and everybody who claims in
 * this way comes to the same result.
 *
 * A reply belongs to the state that asked for it. Whatever ends that state (a loss, a conflict,
 * another lease of the store under our key) abandons what was asked, and a reply that comes later
 * is not heard.
 */
#include "subnet/manager_internal.h"

#define CONFLICT_RETRY_MS 30000
#define VERIFY_TIMEOUT_MS 2000
#define HELD_CALM_MS      10000 /* a lease that is lost sooner is claimed again less eagerly */
#define RACES_MAX         3     /* lost in a row before the picture is asked for again */

struct lease *manager_wanted(const struct manager *m, const struct lease *in_store)
{
	struct lease *l = lease_copy(m->attributes);

	l->subnet = in_store->subnet;
	l->reserved = lease_is_reservation(in_store);
	l->mod_revision = in_store->mod_revision;
	l->born = in_store->born;
	l->id = in_store->id;
	l->flags = in_store->flags;
	return l;
}

const struct ip_addr *manager_public_address(const struct lease *l)
{
	return ip_addr_is_set(&l->public_v4) ? &l->public_v4 : &l->public_v6;
}

static void schedule_retry(struct manager *m, int64_t now_ms)
{
	m->retry_at = manager_backoff(m, now_ms);
}

void manager_abandon_keepalive(struct manager *m)
{
	m->keepalive_id = 0;
	m->keepalive_at = INT64_MAX;
	m->expires_ms = 0;
	m->renewal_failed = false;
}

/* What is under way for a lease that is ours no more. */
void manager_abandon(struct manager *m)
{
	m->claim_id = 0;
	m->adopting = false;
	m->challenging = false;
	m->verifying = false;
	m->write_failed = false;
	manager_abandon_keepalive(m);
}

/* A lease that is held has a reason only while something goes wrong. */
void manager_complaint_over(struct manager *m)
{
	if (m->state != MANAGER_HELD || !m->reason[0] || m->renewal_failed || m->write_failed)
		return;
	m->reason[0] = m->complaint[0] = '\0';
	manager_note(m, LOG_LEVEL_INFO, "lease-renewed", "the lease is kept again");
}

static int64_t renew_interval_ms(const struct manager *m, int64_t ttl_s)
{
	int64_t by_margin = ttl_s - m->renew_margin_s;
	int64_t third = ttl_s * 1000 / 3;

	return by_margin > 0 ? MIN(third, by_margin * 1000) : third;
}

/* The store prolonged the lease at some time after `asked_ms`: to count from then errs on the safe
 * side. */
static void renewed(struct manager *m, int64_t now_ms, int64_t asked_ms, int64_t ttl_s)
{
	m->renewed_ms = now_ms;
	m->expires_ms = asked_ms + ttl_s * 1000;
	m->keepalive_at = now_ms + renew_interval_ms(m, ttl_s);
	m->counts.renewals_ok++;
}

void manager_keep_alive(struct manager *m, int64_t now_ms)
{
	m->keepalive_at = INT64_MAX;
	if (!m->own || !(m->own->flags & LEASE_EXPIRES) || m->keepalive_id)
		return;
	m->keepalive_asked_ms = now_ms;
	m->keepalive_id = manager_submit(m, STORE_KEEPALIVE, m->own);
}

/* ---- ways to HELD ---- */

static void create(struct manager *m, int64_t now_ms, const struct subnet *s)
{
	auto_lease struct lease *l = manager_wanted(m, &(struct lease){ .subnet = *s });

	m->creating = true;
	m->claiming = *s;
	m->claim_asked_ms = now_ms;
	m->claim_floor = m->floor;
	m->claim_id = manager_submit(m, STORE_CREATE, l);
}

void manager_alive(struct manager *m, int64_t now_ms)
{
	m->adopting = false;
	m->verifying = true;
	m->retry_at = now_ms + VERIFY_TIMEOUT_MS;
	manager_watch_from_list(m, now_ms);
	manager_settle(m, now_ms, false);
}

/* A key of the own lease, older or newer than what was asked of it. */
void manager_update(struct manager *m, const struct lease *in_store)
{
	auto_lease struct lease *l = manager_wanted(m, in_store);
	/* Of another address it is brought up to date first: a host is known by both. */
	bool bind = lease_is_unbound(in_store) && manager_is_surely_ours(m, in_store);

	m->creating = false;
	m->claim_floor = m->floor;
	m->claim_id = manager_submit(m, bind ? STORE_BIND : STORE_UPDATE, l);
}

static int choose_subnet(struct manager *m, const struct manager_member *ours, struct subnet *ret,
			 struct err *e)
{
	int rc = manager_choose_family(m, &m->config.v4, false, ours, &ret->v4, e);

	return rc < 0 ? rc : manager_choose_family(m, &m->config.v6, true, ours, &ret->v6, e);
}

/* The store knows which subnet is ours. What it has of us already is only brought up to date. */
static void ask_for_ours(struct manager *m, int64_t now_ms, const struct manager_member *ours)
{
	static const struct subnet whichever;
	auto_lease struct lease *l = ours ? lease_copy(ours->lease) : NULL;

	const char *problem = m->state_problem;

	/* What went wrong last stays so until something goes right. */
	manager_set_state(m, MANAGER_CLAIMING,
			  m->complaint[0] ? m->complaint
					  : "asking the store for this host's subnet");
	m->state_problem = problem;
	if (l)
		manager_adopt(m, now_ms, l);
	else
		create(m, now_ms, &whichever);
}

/* Which subnet, and why; for --log-level=debug. */
static void note_choice(struct manager *m, const struct manager_member *ours,
			const struct subnet *s)
{
	const char *why = "a free one, drawn at random";
	char key[SUBNET_KEY_TEXT];

	if (ours && subnet_equal(&ours->lease->subnet, s))
		why = manager_same_text(ours->lease->node_id, m->node_id)
			      ? "the store has it under this host's node id"
		      : manager_same_public(ours->lease, m->attributes)
			      ? "the store has it under this host's public address"
			      : "the store keeps it for a host of this name";
	else if (subnet_equal(&m->previous, s))
		why = "free, and that of the last run";
	manager_note(m, LOG_LEVEL_DEBUG, "subnet-chosen", "%s: %s", subnet_format(s, key), why);
}

void manager_choose(struct manager *m, int64_t now_ms)
{
	struct manager_member *ours = manager_find_ours(m);
	struct subnet s;
	struct err e;
	int rc;

	m->retry_at = INT64_MAX;
	/* Started without the store from what was known last: no other subnet will do. */
	if (m->was_held) {
		manager_set_state(m, MANAGER_LOST, "the store has not confirmed the lease yet");
		manager_watch_from_list(m, now_ms);
		manager_retry(m, now_ms);
		return;
	}
	if (manager_is_assigned(m)) {
		ask_for_ours(m, now_ms, ours);
		return;
	}
	rc = choose_subnet(m, ours, &s, &e);
	/* What may be a copied disk image's is taken over as it is, or not at all. */
	if (rc == 0 && ours && !manager_is_surely_ours(m, ours->lease) &&
	    !subnet_equal(&ours->lease->subnet, &s))
		rc = choose_subnet(m, NULL, &s, &e);
	if (rc < 0) {
		manager_complain(m, LOG_LEVEL_ERROR, "out-of-subnets", e.text);
		manager_set_state(m, MANAGER_CLAIMING, e.text);
		schedule_retry(m, now_ms);
		/* Until one comes free. */
		manager_watch_from_list(m, now_ms);
		return;
	}
	note_choice(m, ours, &s);
	/* What went wrong last stays the reason until something goes right. */
	manager_set_state(m, MANAGER_CLAIMING,
			  m->complaint[0] ? m->complaint : "asking the store for the subnet");
	if (ours && subnet_equal(&ours->lease->subnet, &s)) {
		auto_lease struct lease *l = lease_copy(ours->lease);

		manager_adopt(m, now_ms, l);
	} else {
		create(m, now_ms, &s);
	}
}

static void held(struct manager *m, int64_t now_ms)
{
	char key[SUBNET_KEY_TEXT];

	m->verifying = false;
	m->was_held = true;
	m->held_ms = now_ms;
	m->retry_at = INT64_MAX;
	m->previous = m->own->subnet;
	m->complaint[0] = '\0';
	manager_find_twins(m);
	manager_set_state(m, MANAGER_HELD, "");
	manager_note(m, LOG_LEVEL_INFO, "lease-held", "%s, %s", subnet_format(&m->own->subnet, key),
		     m->creating ? "newly claimed" : "ours already");
	manager_remove_leftovers(m);
	m->ops->own(m->arg, m->own);
	manager_check_own(m, now_ms);
}

/* ---- ways out of it ---- */

void manager_lost(struct manager *m, int64_t now_ms, const char *why)
{
	manager_abandon(m);
	m->counts.lost_total++;
	manager_set_state(m, MANAGER_LOST, why);
	/* At once, unless it comes and goes. */
	if (now_ms - m->held_ms > HELD_CALM_MS) {
		backoff_reset(&m->backoff);
		m->retry_at = now_ms;
	} else {
		schedule_retry(m, now_ms);
	}
}

void manager_expire(struct manager *m, int64_t now_ms)
{
	manager_lost(m, now_ms, "it was not renewed before its time was over");
}

static void stand_by(struct manager *m, int64_t now_ms, const char *why)
{
	manager_abandon(m);
	manager_set_state(m, MANAGER_CONFLICT, why);
	m->retry_at =
		now_ms + CONFLICT_RETRY_MS / 2 + (int64_t)(manager_random(m) % CONFLICT_RETRY_MS);
}

void manager_conflict(struct manager *m, int64_t now_ms, const struct lease *holder)
{
	char address[IP_ADDR_TEXT];
	char key[SUBNET_KEY_TEXT];
	char text[MANAGER_REASON_SIZE];

	ip_addr_format(ip_addr_is_set(&holder->public_v4) ? &holder->public_v4 : &holder->public_v6,
		       address);
	snprintf(text, sizeof(text), "%s is held by another host: %s, public address %s%s",
		 subnet_format(&holder->subnet, key),
		 holder->node_name ? holder->node_name : "no name", address,
		 manager_same_text(holder->node_id, m->node_id)
			 ? ", which has this host's node id: a copied disk image?"
			 : "");
	stand_by(m, now_ms, text);
}

/* Our create is not in the store, or not any more. */
static void vanished(struct manager *m, int64_t now_ms)
{
	if (m->was_held) {
		manager_abandon(m);
		schedule_retry(m, now_ms);
		return;
	}
	manager_abandon(m);
	lease_free(STEAL(m->own));
	manager_set_own(m, NULL);
	manager_set_state(m, MANAGER_LISTING, "the new lease was deleted at once");
	schedule_retry(m, now_ms);
}

void manager_own_deleted(struct manager *m, int64_t now_ms)
{
	if (m->verifying || m->adopting)
		manager_list(m);
	else if (m->state == MANAGER_HELD)
		manager_lost(m, now_ms, "its key was deleted, or expired in the store");
	else if (m->state == MANAGER_CONFLICT)
		m->retry_at = now_ms;
}

static void yield(struct manager *m, int64_t now_ms, struct manager_member *mine,
		  const struct lease *older)
{
	char mine_text[SUBNET_KEY_TEXT];
	char older_text[SUBNET_KEY_TEXT];

	manager_note(m, LOG_LEVEL_WARN, "claim-yielded", "%s overlaps the older lease %s%s",
		     subnet_format(&m->own->subnet, mine_text),
		     subnet_format(&older->subnet, older_text),
		     m->was_held ? "" : "; trying another");
	/* Never a reservation: it is not ours to delete. */
	if (!(mine->lease->flags & LEASE_RESERVED)) {
		manager_submit(m, STORE_REMOVE, mine->lease);
		manager_forget(m, mine);
	}
	if (m->was_held) {
		manager_conflict(m, now_ms, older);
		return;
	}
	manager_abandon(m);
	lease_free(STEAL(m->own));
	manager_set_own(m, NULL);
	m->previous = (struct subnet){ 0 };
	schedule_retry(m, now_ms);
}

void manager_settle(struct manager *m, int64_t now_ms, bool listed)
{
	const struct manager_member *older;
	struct manager_member *mine;

	if (!m->verifying || !m->list_revision ||
	    (!manager_is_assigned(m) && m->revision < m->own->born))
		return;
	mine = manager_find(m, &m->own->subnet);
	if (!mine || (!manager_is_assigned(m) && mine->lease->mod_revision < m->own->born)) {
		if (listed)
			vanished(m, now_ms);
		else
			manager_list(m);
		return;
	}
	if (!manager_is_ours(m, mine->lease)) {
		/* Written over between our create and now. */
		if (m->was_held)
			manager_conflict(m, now_ms, mine->lease);
		else
			vanished(m, now_ms);
		return;
	}
	manager_set_own(m, &m->own->subnet);
	/* Who assigns subnets answers for them. */
	older = manager_is_assigned(m)
			? NULL
			: manager_overlapping(m, &m->own->subnet, mine, mine->lease->born);
	if (older)
		yield(m, now_ms, mine, older->lease);
	else
		held(m, now_ms);
}

void manager_retry(struct manager *m, int64_t now_ms)
{
	const struct manager_member *other;

	m->retry_at = INT64_MAX;
	switch (m->state) {
	case MANAGER_WAIT_CONFIG:
		return;
	case MANAGER_HELD:
	case MANAGER_LISTING:
	case MANAGER_CLAIMING:
		if (m->verifying)
			m->retry_at = now_ms + VERIFY_TIMEOUT_MS;
		/* Nothing in a list tells whether a subnet is assigned by now. */
		if (manager_is_assigned(m) && m->state != MANAGER_HELD && m->list_revision &&
		    m->attributes && !m->verifying && !m->claim_id && !m->adopting)
			manager_choose(m, now_ms);
		else
			manager_list(m);
		return;
	case MANAGER_LOST:
	case MANAGER_CONFLICT:
		break;
	}
	if (m->verifying) {
		m->retry_at = now_ms + VERIFY_TIMEOUT_MS;
		manager_list(m);
		return;
	}
	if (m->claim_id || m->adopting)
		return;
	other = manager_is_assigned(m) ? NULL
				       : manager_overlapping(m, &m->own->subnet, NULL, UINT64_MAX);
	/* The same key is the store's to judge; one that overlaps it only we can see. */
	if (other && !subnet_equal(&other->lease->subnet, &m->own->subnet))
		manager_conflict(m, now_ms, other->lease);
	else
		create(m, now_ms, &m->own->subnet);
}

/* ---- replies ---- */

void manager_claim_failed(struct manager *m, int64_t now_ms, const struct err *e)
{
	/* Who could not be heard could not answer either. */
	m->challenged = 0;
	manager_complain(m, LOG_LEVEL_WARN, "claim-failed", e->text);
	if (m->state == MANAGER_CLAIMING)
		m->state = MANAGER_LISTING;
	snprintf(m->reason, sizeof(m->reason), "%s", e->text);
	schedule_retry(m, now_ms);
}

static void lost_race(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	auto_lease struct lease *holder = STEAL(reply->holder);

	if (!holder) {
		schedule_retry(m, now_ms);
		return;
	}
	manager_upsert(m, lease_copy(holder));
	/* It may be ours by a create whose end we did not see. Once we were there, an id without
	 * an address is another host's. */
	if (manager_is_ours(m, holder) && (!m->was_held || manager_is_our_address(m, holder)))
		manager_adopt(m, now_ms, holder);
	else if (m->was_held)
		manager_conflict(m, now_ms, holder);
	else if (++m->races <= RACES_MAX)
		manager_choose(m, now_ms); /* one round trip: what won is known now */
	else
		schedule_retry(m, now_ms);
}

/* The store has given this host another subnet than its containers use. */
static void reassigned(struct manager *m, int64_t now_ms, const struct lease *now)
{
	char held[SUBNET_KEY_TEXT];
	char other[SUBNET_KEY_TEXT] = "another subnet";
	char text[MANAGER_REASON_SIZE];

	if (now)
		subnet_format(&now->subnet, other);
	snprintf(
		text, sizeof(text),
		"the store assigns %s to this host, whose containers use %s; restart flanneld when "
		"they are gone",
		other, subnet_format(&m->own->subnet, held));
	stand_by(m, now_ms, text);
	m->state_problem = "subnet-reassigned";
}

void manager_on_created(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	switch (reply->status) {
	case STORE_OK:
		manager_abandon_keepalive(m);
		lease_free(m->own);
		m->own = STEAL(reply->holder);
		m->taken_over = false;
		if (manager_is_assigned(m))
			manager_upsert(m, lease_copy(m->own));
		if (m->own->flags & LEASE_EXPIRES)
			renewed(m, now_ms, m->claim_asked_ms, reply->ttl_s);
		manager_alive(m, now_ms);
		return;
	case STORE_CONFLICT:
		if (manager_is_assigned(m))
			reassigned(m, now_ms, reply->holder);
		else
			lost_race(m, now_ms, reply);
		return;
	case STORE_ABSENT:
		manager_claim_failed(m, now_ms, &reply->err);
		m->state_problem = "subnet-not-assigned";
		return;
	default:
		m->state_problem = NULL;
		/* If it did happen after all, the list or the next create shows it as ours. */
		manager_claim_failed(m, now_ms, &reply->err);
	}
}

void manager_on_updated(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	switch (reply->status) {
	case STORE_OK:
		if (m->challenging) {
			manager_on_challenged(m, now_ms, STEAL(reply->holder));
			return;
		}
		lease_free(m->own);
		m->own = STEAL(reply->holder);
		m->newest = MAX(m->newest, m->own->mod_revision);
		if (m->adopting) {
			manager_upsert(m, lease_copy(m->own));
			if (m->own->flags & LEASE_EXPIRES)
				manager_keep_alive(m, now_ms);
			else
				manager_alive(m, now_ms);
			return;
		}
		m->write_failed = false;
		manager_complaint_over(m);
		if (m->keepalive_at == INT64_MAX)
			manager_keep_alive(m, now_ms); /* it has an id again */
		/* What came while it was on its way. */
		manager_check_own(m, now_ms);
		return;
	case STORE_CONFLICT:
		if (reply->holder)
			manager_upsert(m, STEAL(reply->holder));
		break;
	default:
		m->write_failed = true;
		/* Nothing was written that somebody could have written over. */
		backoff_reset(&m->rewrites);
		manager_claim_failed(m, now_ms, &reply->err);
	}
	if (m->adopting || m->challenging)
		manager_abandon(m);
	schedule_retry(m, now_ms);
}

void manager_on_keepalive(struct manager *m, int64_t now_ms, struct store_reply *reply)
{
	if (reply->status == STORE_OK) {
		m->renewal_failed = false;
		manager_complaint_over(m);
		if (m->state == MANAGER_HELD)
			backoff_reset(&m->backoff);
		renewed(m, now_ms, m->keepalive_asked_ms, reply->ttl_s);
		if (m->adopting)
			manager_alive(m, now_ms);
		return;
	}
	m->counts.renewals_failed++;
	if (reply->status != STORE_ABSENT) {
		manager_complain(m, LOG_LEVEL_WARN, "lease-not-renewed", reply->err.text);
		snprintf(m->reason, sizeof(m->reason), "%s", reply->err.text);
		m->renewal_failed = true;
		m->keepalive_at = manager_backoff(m, now_ms);
	} else if (m->state == MANAGER_HELD) {
		manager_lost(m, now_ms, "the store says that the lease has expired");
	} else {
		manager_abandon(m);
		schedule_retry(m, now_ms);
	}
}
