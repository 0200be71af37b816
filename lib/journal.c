/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/journal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/buffer.h"

int journal_open(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return STEAL_FD(fd);
}

int journal_send(int fd, const struct journal_field *fields, size_t len)
{
	auto_buffer struct buffer text = { 0 };

	for (size_t i = 0; i < len; i++) {
		if (fields[i].value)
			buffer_printf(&text, "%s=%s\n", fields[i].name, fields[i].value);
	}
	return send(fd, text.data, text.size, MSG_NOSIGNAL) < 0 ? -errno : 0;
}
