/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main for a fuzz target where libFuzzer is not: feeds it every file it is given, or that lies in a
 * directory it is given, and for each of them a few thousand variations. The same inputs on every
 * run.
 *
 * An input ends where a page ends and the next page cannot be read, so that reading one byte too
 * many is noticed in any build.
 *
 *   fuzz_x [-v] [-n variations] path...
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/file.h"

#define INPUT_MAX          (128 * 1024)
#define VARIATIONS_DEFAULT 2000
#define EDITS_MAX          4

struct input {
	char *name;
	uint8_t *data;
	size_t size;
};

static struct {
	struct input *items;
	size_t len;
	size_t cap;
	bool verbose;
	unsigned long variations;
	uint8_t *guard; /* the page that cannot be read */
} replay = { .variations = VARIATIONS_DEFAULT };

/* xorshift64*: the same numbers everywhere. */
static uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1du;
}

static size_t random_below(uint64_t *state, size_t limit)
{
	return limit ? (size_t)(random_next(state) % limit) : 0;
}

static void try(const char *name, unsigned long variation, const uint8_t *data, size_t size)
{
	uint8_t *place = replay.guard - size;

	if (replay.verbose)
		fprintf(stderr, "input: %s variation %lu, %zu bytes\n", name, variation, size);
	if (size)
		memcpy(place, data, size);
	LLVMFuzzerTestOneInput(place, size);
}

/* Replaces `old_size` bytes at `at` by `with`; the size stays within INPUT_MAX. */
static void splice(uint8_t *data, size_t *size, size_t at, size_t old_size, const uint8_t *with,
		   size_t new_size)
{
	if (*size - old_size + new_size > INPUT_MAX)
		return;
	memmove(data + at + new_size, data + at + old_size, *size - at - old_size);
	memcpy(data + at, with, new_size);
	*size = *size - old_size + new_size;
}

static void edit(uint8_t *data, size_t *size, uint64_t *state)
{
	/* Bytes at which parsers turn. */
	static const uint8_t special[] = "\0\xff\x7f\x80 \n\"\\{}[],:.-/&=0123456789afe";
	const struct input *other = &replay.items[random_below(state, replay.len)];
	uint8_t chunk[64];
	size_t at = random_below(state, *size + 1);
	size_t rest = *size - at;
	size_t chunk_size;

	switch (random_below(state, 8)) {
	case 0:
		if (rest)
			data[at] ^= (uint8_t)(1u << random_below(state, 8));
		break;
	case 1:
		if (rest)
			data[at] = (uint8_t)random_next(state);
		break;
	case 2:
		if (rest)
			data[at] = special[random_below(state, sizeof(special))];
		break;
	case 3:
		splice(data, size, at, 0, &special[random_below(state, sizeof(special))], 1);
		break;
	case 4:
		splice(data, size, at, random_below(state, MIN(rest, sizeof(chunk)) + 1), chunk, 0);
		break;
	case 5:
		*size = at;
		break;
	case 6:
		chunk_size = random_below(state, MIN(rest, sizeof(chunk)) + 1);
		memcpy(chunk, data + at, chunk_size);
		splice(data, size, random_below(state, *size + 1), 0, chunk, chunk_size);
		break;
	default:
		if (other->size) {
			size_t from = random_below(state, other->size);

			chunk_size =
				random_below(state, MIN(other->size - from, sizeof(chunk)) + 1);
			splice(data, size, at, 0, other->data + from, chunk_size);
		}
		break;
	}
}

static void vary(const struct input *input, uint8_t *room)
{
	for (unsigned long i = 1; i <= replay.variations; i++) {
		uint64_t state = 0x9e3779b97f4a7c15u * i ^ input->size;
		size_t edits = 1 + random_below(&state, EDITS_MAX);
		size_t size = input->size;

		if (size)
			memcpy(room, input->data, size);
		while (edits--)
			edit(room, &size, &state);
		try(input->name, i, room, size);
	}
}

static void add_file(const char *path)
{
	struct input input = { .name = xstrdup(path) };
	struct err e;
	char *data;

	if (file_read(path, INPUT_MAX, &data, &input.size, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		exit(2);
	}
	input.data = (uint8_t *)data;
	GROW(replay.items, replay.len, replay.cap);
	replay.items[replay.len++] = input;
}

static void add_path(const char *path)
{
	struct dirent **names;
	struct stat st;
	int count;

	if (stat(path, &st) < 0 && errno == ENOENT)
		return; /* a target without a corpus still sees the empty input */
	if (!S_ISDIR(st.st_mode)) {
		add_file(path);
		return;
	}
	count = scandir(path, &names, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		auto_free char *name = xasprintf("%s/%s", path, names[i]->d_name);

		if (names[i]->d_name[0] != '.')
			add_file(name);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

int main(int argc, char **argv)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	auto_free uint8_t *room = xmalloc(INPUT_MAX + 64);
	uint8_t *map;
	int option;

	while ((option = getopt(argc, argv, "vn:")) != -1) {
		if (option == 'v')
			replay.verbose = true;
		else if (option == 'n')
			replay.variations = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	map = mmap(NULL, INPUT_MAX + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	if (map == MAP_FAILED || mprotect(map + INPUT_MAX, page, PROT_NONE) < 0) {
		perror("mmap");
		return 2;
	}
	replay.guard = map + INPUT_MAX;
	for (int i = optind; i < argc; i++)
		add_path(argv[i]);
	try("(empty)", 0, NULL, 0);
	for (size_t i = 0; i < replay.len; i++)
		try(replay.items[i].name, 0, replay.items[i].data, replay.items[i].size);
	for (size_t i = 0; i < replay.len; i++)
		vary(&replay.items[i], room);
	for (size_t i = 0; i < replay.len; i++) {
		free(replay.items[i].name);
		free(replay.items[i].data);
	}
	free(replay.items);
	munmap(map, INPUT_MAX + page);
	return 0;
}
