/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/streams.h"

#include <errno.h>
#include <unistd.h>

#include "cni-plugin/error.h"
#include "cni-plugin/netconf.h"

int streams_print(const json_t *j)
{
	if (json_dumpf(j, stdout, JSON_COMPACT) < 0 || fputc('\n', stdout) == EOF)
		return -EIO;
	return fflush(stdout) == EOF ? -EIO : 0;
}

/* To the end of the file: whoever writes may pause. */
static int read_stdin(char **ret, size_t *ret_size, struct err *e)
{
	auto_free char *text = NULL;
	size_t used = 0;
	size_t room = 0;

	for (;;) {
		ssize_t n;

		if (used == room) {
			room = room ? room * 2 : 16384;
			text = xrealloc(text, room);
		}
		n = read(STDIN_FILENO, text + used, room - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_sys(e, -errno, "error reading from stdin");
			return cni_classify(e, CNI_IO);
		}
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > NETCONF_SIZE_MAX)
			return cni_error(e, CNI_DECODING, "stdin has more than %u bytes",
					 NETCONF_SIZE_MAX);
	}
	*ret = STEAL(text);
	*ret_size = used;
	return 0;
}

int streams_read(const char *what, json_t **ret, struct err *e)
{
	auto_free char *text = NULL;
	size_t size = 0;

	if (read_stdin(&text, &size, e) < 0)
		return e->code;
	if (json_parse_object(text, size, ret, e) < 0) {
		err_wrap(e, "%s", what);
		return cni_classify(e, CNI_DECODING);
	}
	return 0;
}
