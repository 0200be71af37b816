/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the fabric share; for nobody else.
 *
 *   fabric.c       life, the loop's work, notifications
 *   peers_glue.c   leases to fabric/peers.h, which judges them, and what comes of it
 *   live.c         the backend: made, told where it stands, and what it runs beside kernel objects
 *   devices.c      the tunnel devices
 *   containers.c   the devices that containers live behind
 *   guard.c        between kernel objects and the traffic rules
 *   drift.c        what others do to our objects
 *   shadow.c       routes of others that stand before ours
 *   fast.c         between these and the fast path (fastpath/)
 *   diff.c         in what the kernel differs, for people
 *   probing.c      between who answers (fabric/reach.h) and the sockets over which is asked
 *   packet_size.c  how large packets to a peer are
 *   sweep.c        what we made once and nobody wants any more
 */
#ifndef FABRIC_FABRIC_INTERNAL_H
#define FABRIC_FABRIC_INTERNAL_H

#include <sys/queue.h>

#include "fabric/fabric.h"
#include "fabric/plugin.h"
#include "lib/fight.h"
#include "kernel/marks.h"
#include "fabric/peers.h"
#include "lib/backoff.h"

/* Lines of one sort in the log: so many, then a number. */
struct fabric_log_budget {
	unsigned left;
	unsigned unnamed;
	int64_t refill_ms;
};

#define FABRIC_DRIFTS_MAX 3

/* Put by somebody in the place of one of ours, as the kernel told it. */
struct fabric_intruder {
	struct kernel_object object;
	uint32_t port_id; /* whose netlink socket; 0: nobody's */
};

/* Put back, and not yet told. */
struct fabric_drift {
	uint32_t ifindex;
	bool on_device; /* that was one of ours */
	char *name;
	char *intruder; /* what stood in its place, and by whom, or "" */
};

/* Containers whose interface takes more than the fabric carries: they were attached before it shrank. */
struct fabric_large_containers {
	int64_t due_ms; /* when they are to be counted anew; 0: no need */
	size_t len;
	uint32_t mtu_bytes; /* the largest */
};

#define OLD_GATEWAY_TEXT 160

struct container_device;
struct link_info;

/* Rules of others that take packets past our routes. */
struct fabric_policy {
	bool due;        /* to be looked at when all else is settled */
	size_t diverted; /* questions of which the answer is another way than ours */
	char text[400];  /* the first of them */
};

/* What our end of a container's link has lost. */
struct fabric_loss {
	uint32_t ifindex;
	char what[64]; /* of one that is up and has its place, "" else */
};

/* Sockets for each family and layer. */
struct fabric_probing {
	int64_t interval_s;  /* 0: off */
	struct reach *reach; /* NULL: off */
	struct event *timer;
	struct echo *sockets[2][REACH_LAYERS];
	struct echo *large[2][REACH_LAYERS];  /* for large questions; NULL: they are not asked */
	uint16_t mtu_bytes[2];                /* that our lease says of the underlay */
	struct ip_addr from[2][REACH_LAYERS]; /* unset: nothing is asked there */
	int errors[2][REACH_LAYERS];          /* why there is no socket, as -errno */
	struct err refused;                   /* code 0: this process may ask */
	int64_t turned_ms;
	char tunnel[40]; /* what its packets are */
	size_t told[2][REACH_STATES];
	size_t black_holes_told[2];
};

struct fabric {
	struct event_base *base;
	const struct fabric_ops *ops;
	void *arg;
	struct kernel kernel;
	struct netlink *nl; /* kernel.route */
	struct monitor *monitor;
	struct event *monitor_event;
	struct monitor *policies; /* the same for IPsec; NULL: not in use here */
	struct event *policies_event;
	struct event *work; /* timer; armed whenever there is something to do */
	struct event *slow;
	struct event *underlay;
	struct reconcile *reconcile;
	struct rules *rules;
	bool blackhole;
	const char *node_id;
	const char *state_dir;
	struct backend *backend;
	bool live;              /* what it runs beside kernel objects was started */
	struct backend *former; /* takes down what an earlier one left; NULL: nothing was left */
	bool former_sought;
	struct backend_env env;
	struct event *change_event; /* what it said has changed is looked at in the loop's turn */
	unsigned changes;
	struct network_config config; /* only the families; backend is not ours */
	struct external external;
	struct subnet own;
	bool started;
	bool settled_once;
	bool devices_dirty;
	bool wants_dirty; /* devices, paths or our own subnet changed: all is to be wanted anew */
	bool judging;     /* some peers still are: what is wanted is not known yet */
	bool read_ahead;  /* the kernel was, before anything was wanted */
	bool underlay_unsettled;
	struct backoff underlay_backoff;
	bool devices_ok;
	bool sweep_due;                                  /* once all is settled */
	struct fight device_fights[BACKEND_DEVICES_MAX]; /* with whom the kernel does not say */
	char mark[MARK_SIZE];
	struct fabric_previous previous;
	struct err device_error;
	const struct backend_device *devices; /* the backend's */
	uint32_t ifindexes[BACKEND_DEVICES_MAX];
	size_t devices_len;
	unsigned dirty;         /* kinds to observe */
	struct backoff backoff; /* writes and devices that fail */
	int64_t last_observation_ms;
	int64_t observed_ms[KERNEL_KINDS];  /* when each kind was read last */
	double observation_s[KERNEL_KINDS]; /* how long it took to read each kind last */
	struct kernel_key unblamed[16];     /* elements of the transaction that is being told */
	size_t unblamed_len;
	struct fabric_log_budget drift_log;
	struct fabric_drift drifts[FABRIC_DRIFTS_MAX];
	size_t drifts_len;
	struct fabric_intruder intruders[FABRIC_DRIFTS_MAX]; /* the last ones, in a ring */
	size_t intruders_next;
	struct fabric_log_budget fight_log;
	struct fabric_log_budget shadow_log;
	uint64_t shadow_writes;    /* of ours when the shadows were last asked for */
	struct hash_table shadows; /* struct fabric_shadow */
	int64_t shadow_walk_ms;    /* when all routes are to be looked at; 0: not now */
	int64_t shadow_rest_ms;    /* not before this */
	struct fabric_policy policy;
	struct container_device **containers;
	size_t containers_len;
	size_t containers_cap;
	struct fast_path *fast; /* NULL: there is none */
	struct plugin *plugin;  /* NULL: what it made is not kept */
	struct event
		*ports; /* timer: containers' links have lost something, and may be gone by now */
	struct fabric_loss losses[16]; /* those */
	size_t losses_len;
	size_t old_gateways; /* addresses of containers' devices in subnets of others */
	char old_gateway[OLD_GATEWAY_TEXT]; /* one of them */
	struct fabric_large_containers large;
	struct peers *peers;
	struct fabric_probing probing;
	uint64_t overruns_total;
	uint64_t observations_total;
	struct err unread;    /* the last time, code 0: it was read */
	struct err unwritten; /* likewise */
	uint64_t device_repairs_total;
};

#define FABRIC_HEAL_DELAY_MS 10 /* lets a burst of notifications become one dump */

/* fabric.c */
/* Does not postpone what is due earlier. */
void fabric_arm_earlier(struct fabric *f, struct event *ev, int64_t delay_ms);
/* The loop's turn within this time at the latest; nothing before the first fabric_set_own. */
void fabric_want_work(struct fabric *f, int64_t delay_ms);

/* notifications.c */
/* False if there may be more. */
bool fabric_read_notifications(struct fabric *f);
/* Listens to what becomes of IPsec's policies, from when some are wanted on. */
void fabric_watch_policies(struct fabric *f);
/* Looks where we stand: soon; now; now if that was to be looked at soon. What fails is repeated. */
void fabric_want_underlay(struct fabric *f);
void fabric_look_at_underlay(struct fabric *f);
void fabric_underlay_now(struct fabric *f);

/* live.c */
int fabric_set_host(struct fabric *f, const struct external *x, struct err *e) MUST_CHECK;
int fabric_start_backend(struct fabric *f, struct err *e) MUST_CHECK;
/* Its data path stays. */
void fabric_drop_backend(struct fabric *f);
/* Our lease, for what the backend runs. */
void fabric_tell_own(const struct fabric *f);
/* What an earlier run left for it, and for a backend of another type. */
void fabric_sweep_live(struct fabric *f);
/* That a peer is used or no more, if it was told otherwise. */
void fabric_tell_backend(const struct fabric *f, struct peer *p, bool used);

/* guard.c */
/* Before anything is written: the table stands, and what belongs into it can be written. */
void fabric_before_routes(struct fabric *f);
/* The kinds that stand where they can be looked at: not what is in a table that is gone. */
unsigned fabric_readable_kinds(const struct fabric *f);
/* Addresses that the guard lets in. */
size_t fabric_guarded(const struct fabric *f);

/* containers.c */
/* Something was noticed in the kernel: perhaps containers live behind that device, or did. */
void fabric_container_object(struct fabric *f, const struct kernel_object *o, bool gone,
			     uint32_t port_id);
void fabric_container_link(struct fabric *f, const struct link_info *link, bool gone);
/* Finds those that are there already. Blocks for a few small dumps. */
void fabric_find_containers(struct fabric *f);
/* The MTU for containers is another now. */
void fabric_count_large_containers_soon(struct fabric *f);
/* Before each comparison: counts those with an MTU of before, if that may be another number now. */
void fabric_count_large_containers(struct fabric *f);
/* States anew what is wanted for them. */
void fabric_want_containers(struct fabric *f);
bool fabric_is_container(const struct fabric *f, const struct reconcile_owner *owner);
void fabric_free_containers(struct fabric *f);
/* One of the interfaces that containers live behind. False if there is none. */
bool fabric_container_interface(const struct fabric *f, uint32_t *ret_ifindex,
				char ret_name[static IFNAMSIZ]);
/* The devices that containers live behind, `max` at most; returns how many. */
size_t fabric_container_devices(const struct fabric *f, uint32_t *ret_ifindexes, size_t max);
void fabric_container_problems(const struct fabric *f, struct problem_list *ret);

/* fast.c */
/* Tells it where we are. */
void fabric_place_fast_path(struct fabric *f);

/* shadow.c */
/* A notification told of this object. */
void fabric_suspect(struct fabric *f, const struct kernel_object *o, bool gone);
/* Asks the kernel about what is suspected, and looks at all routes if that is due. */
void fabric_look_for_shadows(struct fabric *f);
/* All routes are to be looked at after this time; later if that costs much here. */
void fabric_walk_shadows(struct fabric *f, int64_t delay_ms);
/* Those that are known: one may have ended in silence. */
void fabric_ask_shadows_again(struct fabric *f);
/* How many there are, without those that are only suspected, and one of them; "" if there is none. */
size_t fabric_describe_shadows(const struct fabric *f, char *buf, size_t size);
/* As part of a difference. */
void fabric_visit_shadows(const struct fabric *f, fabric_difference_fn *visit, void *arg);
void fabric_forget_shadows(struct fabric *f);

/* drift.c */
/* Whether this may still be said by name; what may not is counted. */
bool fabric_may_name(struct fabric_log_budget *b);
void fabric_watch_drift(struct fabric *f);
/* Before each comparison: the time, and what has waited long enough. */
void fabric_tick_drift(struct fabric *f);
/* Says by name what was put back, or forgets it. */
void fabric_tell_drift(struct fabric *f, bool forget);
/* After it: a turn of the loop when something else has. */
void fabric_await_drift(struct fabric *f);
/* A notification: if it contradicts what is wanted, its kind is compared soon. True if it is about
 * something that has been undone before, so that it matters who does it. */
bool fabric_notice(struct fabric *f, const struct kernel_object *object, bool gone,
		   uint32_t port_id);
/* One of the fights under way, "" if there is none; returns how many there are. */
size_t fabric_describe_fights(const struct fabric *f, char *buf, size_t size);

/* policy.c */
/* A rule has come or gone, or may have; and the look, if that was so. */
void fabric_suspect_policy(struct fabric *f);
void fabric_look_at_policy(struct fabric *f);
void fabric_policy_problems(const struct fabric *f, struct problem_list *ret);

/* probing.c */
/* Where we stand may be another now; before the peers are judged. */
void fabric_place_probing(struct fabric *f);
/* That a peer is used, or no more. */
void fabric_probe_peer(struct fabric *f, struct peer *p, bool used);
/* What silence there is. */
void fabric_reach_problems(const struct fabric *f, struct problem_list *ret);
/* All that is wanted stands: who is new may be asked. */
void fabric_continue_probing(struct fabric *f);
/* Where this process may not ask: perhaps it may now. */
void fabric_retry_probing(struct fabric *f);
/* With what is known of all peers. */
void fabric_end_probing(struct fabric *f);

/* packet_size.c */
/* What our lease says of the underlay's MTU: IPv4, IPv6; 0: there is none. */
void fabric_underlay_mtu(const struct fabric *f, uint16_t ret_bytes[static 2]);
/* How large packets are that go to a peer. */
void fabric_packet_sizes(const struct fabric *f, const struct peer *p,
			 struct reach_size ret[static 2][REACH_LAYERS]);

/* peers_glue.c */
void fabric_new_peers(struct fabric *f);
/* States anew what this host and all peers want, if something that it depends on has changed: so many
 * of the peers in a turn. False: some are left. */
bool fabric_want_all(struct fabric *f);
/* One line for every object that the kernel refused, the first time round. */
void fabric_report_refused(const struct fabric *f);
/* One of the objects that the kernel refused, with its words; one of the leases that are of no use, with
 * the reason; "" if there is none. */
void fabric_describe_refused(const struct fabric *f, char *buf, size_t size);
void fabric_describe_ignored(const struct fabric *f, char *buf, size_t size);

/* devices.c */
/* Whether this is one of those that were made. */
bool fabric_is_device(const struct fabric *f, uint32_t ifindex);
/* Tells the rules where we are. */
void fabric_place_rules(struct fabric *f);
/*
 * Makes the devices as the backend wants them; devices_ok says whether all of them are. While somebody
 * undoes it to one again and again nothing is done to that before fight_wait() is over, and
 * devices_dirty stays.
 */
void fabric_look_after_devices(struct fabric *f);
/* All that was written so far; a repair of a device counts for itself, since what belongs to it may have
 * been written over a socket of its own. */
uint64_t fabric_writes_total(const struct fabric *f);
/* What was said about devices and what is on them, whichever way. */
struct netlink_counts fabric_counts(const struct fabric *f);
/* Forgets what was undone and has stood for a while since. */
void fabric_tick_device_fights(struct fabric *f, int64_t now_ms);
/*
 * Looks which of the devices are there already. Those keep their MAC, since peers know it and
 * changing it would cost packets; and what is on them can be read ahead.
 */
void fabric_find_devices(struct fabric *f);
/* In what they are not as wanted, as part of a difference. */
void fabric_visit_devices(struct fabric *f, fabric_difference_fn *visit, void *arg);

/* sweep.c */
/*
 * Removes what carries our mark and nobody wants: devices here, tables and chains in the traffic
 * rules. Only when all that is wanted stands.
 */
void fabric_sweep(struct fabric *f);
/* Of that only what keeps device `d` from being made. True if something was removed. */
bool fabric_sweep_conflicts(struct fabric *f, const struct backend_device *d);

#endif
