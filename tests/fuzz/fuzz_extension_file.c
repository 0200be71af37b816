/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the file of the extension backend's peers: read as far as it goes, and nothing is run or written. */
#include "tests/fuzz/fuzz.h"

#include <event2/event.h>
#include <sys/mman.h>

#include "backends/extension_peers.h"
#include "lib/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct extension_commands commands;
	struct problem_list problems = { 0 };
	static struct event_base *base;
	struct extension_peers *peers;
	char path[40];
	struct err e;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	base = base ? base : event_base_new();
	FUZZ_CHECK(write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (extension_peers_leftover(path, &commands, &e) < 0)
		FUZZ_CHECK(e.text[0] && !commands.add.words);
	else
		FUZZ_CHECK(commands.timeout_ms >= 1000 && commands.timeout_ms <= 3600000);
	peers = extension_peers_new(base, &commands, path, true);
	extension_peers_health(peers, &problems);
	FUZZ_CHECK(problems.len == 0);
	extension_peers_free(peers);
	command_fini(&commands.add);
	command_fini(&commands.remove);
	close(fd);
	return 0;
}
