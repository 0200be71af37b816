/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/signals.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>

#include "flanneld/host.h"
#include "flanneld/notify.h"
#include "lib/clock.h"
#include "lib/log.h"

void signals_end_reload(struct daemon *d)
{
	if (d->reloading)
		notify_systemd("READY=1");
	d->reloading = false;
}

static void reload(struct daemon *d)
{
	log_info("signal", "SIGHUP: comparing the kernel with the leases now");
	/* What waits for the start has to go on waiting for that. */
	if (d->started_told) {
		d->reloading = true;
		notify_systemd("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_monotonic_us());
	}
	fabric_sync(d->fabric);
	if (!d->settled)
		signals_end_reload(d);
}

static void on_signal(evutil_socket_t signal_number, short what UNUSED, void *arg)
{
	struct daemon *d = arg;

	if (signal_number == SIGHUP) {
		reload(d);
		return;
	}
	log_info("stopping", "signal %d; the data path stays in place", (int)signal_number);
	notify_systemd("STOPPING=1");
	if (!host_leave(d))
		event_base_loopbreak(d->base);
}

static void on_watchdog(evutil_socket_t fd UNUSED, short what UNUSED, void *arg UNUSED)
{
	notify_systemd("WATCHDOG=1");
}

/* From the loop alone: a loop that stands still is what the watchdog is there for. */
void signals_feed_watchdog(struct daemon *d)
{
	int64_t every_ms = notify_watchdog_ms();
	struct timeval tv = { every_ms / 1000, every_ms % 1000 * 1000 };

	if (!every_ms)
		return;
	d->watchdog = event_new(d->base, -1, EV_PERSIST, on_watchdog, NULL);
	event_add(d->watchdog, &tv);
}

int signals_watch(struct daemon *d, struct err *e)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file too large is an error of write, EFBIG */
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		d->signals[i] = evsignal_new(d->base, numbers[i], on_signal, d);
		if (!d->signals[i] || event_add(d->signals[i], NULL) < 0)
			return err_set(e, -ENOMEM, "signals cannot be waited for");
	}
	return 0;
}
