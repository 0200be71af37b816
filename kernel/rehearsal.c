/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/rehearsal.h"

static bool is_on;

void rehearsal_set(bool on)
{
	is_on = on;
}

bool rehearsal_is_on(void)
{
	return is_on;
}
