/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that turn an event loop by hand until something has happened. */
#ifndef TESTS_UNIT_LOOP_H
#define TESTS_UNIT_LOOP_H

#include <event2/event.h>

#include "tests/unit/test.h"

/* One turn, as soon as there is something to do; 10 ms at most. */
static inline UNUSED void loop_turn(struct event_base *base)
{
	struct timeval at_most = { 0, 10000 };

	event_base_loopexit(base, &at_most);
	event_base_loop(base, EVLOOP_ONCE);
}

#endif
