/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/object.h"

#ifdef FAST_PATH_OBJECT

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#include "fastpath/pins.h"
#include "lib/dlopen.h"
#include "lib/log.h"

#define SONAME      "libbpf.so.1"
#define TCX_INGRESS 46 /* enum bpf_attach_type of Linux 6.6 */
#define TCX_EGRESS  47
#define LINK_PREFIX "link-"
#define CPUS_MAX    4096

DLOPEN_NOTE("fast-path", "the fast path", "suggested", SONAME);

#define FUNCTIONS(X)                                                                               \
	X(bpf_object__open_mem)                                                                    \
	X(bpf_object__load)                                                                        \
	X(bpf_object__close)                                                                       \
	X(bpf_object__find_map_by_name)                                                            \
	X(bpf_object__find_program_by_name)                                                        \
	X(bpf_map__fd)                                                                             \
	X(bpf_map__reuse_fd)                                                                       \
	X(bpf_program__fd)                                                                         \
	X(bpf_obj_get)                                                                             \
	X(bpf_obj_pin)                                                                             \
	X(bpf_obj_get_info_by_fd)                                                                  \
	X(bpf_link_create)                                                                         \
	X(bpf_link_update)                                                                         \
	X(bpf_prog_query)                                                                          \
	X(bpf_map_lookup_elem)                                                                     \
	X(bpf_map_update_elem)                                                                     \
	X(bpf_map_delete_elem)                                                                     \
	X(bpf_map_get_next_key)                                                                    \
	X(libbpf_num_possible_cpus)                                                                \
	X(libbpf_set_print)

/* Named as there; all NULL before the library is loaded. */
static struct {
#define MEMBER(name) typeof(name) *name;
	FUNCTIONS(MEMBER)
} lib;

enum {
	MAP_SETTINGS,
	MAP_CONTAINERS,
	MAP_DEVICES,
	MAP_OUTCOMES,
	MAP_METERED,
	MAP_DELIVERED,
	MAPS,
};
static const struct {
	const char *name;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t len;
} maps[MAPS] = {
	[MAP_SETTINGS] = { "settings", 4, sizeof(struct fast_settings), 1 },
	[MAP_CONTAINERS] = { "containers", sizeof(struct fast_address),
			     sizeof(struct fast_container), FAST_CONTAINERS_MAX },
	[MAP_DEVICES] = { "devices", 4, 4, FAST_CONTAINERS_MAX },
	[MAP_OUTCOMES] = { "outcomes", 4, 8, FAST_OUTCOMES_LEN },
	[MAP_METERED] = { "metered", sizeof(struct fast_metered), sizeof(struct fast_count),
			  FAST_METERED_MAX },
	[MAP_DELIVERED] = { "delivered", 4, sizeof(struct fast_count), FAST_CONTAINERS_MAX },
};
static const char *const program_names[FAST_PROGRAMS] = { "from_container", "from_tunnel" };

struct fast_object {
	struct bpf_object *object;
	char *directory;
	int maps[MAPS]; /* the object's */
	int programs[FAST_PROGRAMS];
};

/* ---- the library ---- */

static char last_words[ERR_TEXT_SIZE]; /* of libbpf */

static int on_print(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(last_words, sizeof(last_words), format, args);
	last_words[strcspn(last_words, "\n")] = '\0';
	log_debug("libbpf", "%s", last_words);
	return 0;
}

static int load_library(struct err *e)
{
	typeof(lib) found;
	void *library;

	if (lib.bpf_object__load)
		return 0;
	library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return err_set(e, -ELIBACC, "%s", dlerror());
#define FIND(name)                                                                                 \
	found.name = (typeof(name) *)dlsym(library, #name);                                        \
	if (!found.name)                                                                           \
		return err_set(e, -ELIBACC, "%s", dlerror());
	FUNCTIONS(FIND)
	lib = found;
	lib.libbpf_set_print(on_print);
	return 0;
}

/* ---- pins ---- */

static char *path_of(const char *directory, const char *name)
{
	return xasprintf("%s/%s", directory, name);
}

static char *link_path(const struct fast_object *o, uint32_t ifindex)
{
	return xasprintf("%s/" LINK_PREFIX "%u", o->directory, ifindex);
}

/* ---- loading ---- */

/* A map that stands is taken over if it is of the form that is wanted. */
static bool take_map(struct fast_object *o, unsigned i)
{
	auto_free char *path = path_of(o->directory, maps[i].name);
	auto_close int fd = lib.bpf_obj_get(path);
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);

	return fd >= 0 && lib.bpf_obj_get_info_by_fd(fd, &info, &size) == 0 &&
	       info.key_size == maps[i].key_size && info.value_size == maps[i].value_size &&
	       info.max_entries == maps[i].len &&
	       lib.bpf_map__reuse_fd(lib.bpf_object__find_map_by_name(o->object, maps[i].name),
				     fd) == 0;
}

static int open_object(struct fast_object *o, struct err *e)
{
	size_t size;
	const void *bytes = fast_object_embedded(&size);

	lib.bpf_object__close(o->object);
	o->object = lib.bpf_object__open_mem(bytes, size, NULL);
	return o->object ? 0 : err_set(e, -EINVAL, "the programs cannot be read: %s", last_words);
}

static int open_with_maps(struct fast_object *o, struct err *e)
{
	bool all = true;
	int rc = open_object(o, e);

	for (unsigned i = 0; i < MAPS && rc == 0 && all; i++)
		all = take_map(o, i);
	if (rc < 0 || all)
		return rc;
	/* All or none: programs of before go on with theirs until they are replaced. */
	for (unsigned i = 0; i < MAPS; i++)
		fast_pins_unlink(o->directory, maps[i].name);
	return open_object(o, e);
}

static int pin_maps(const struct fast_object *o, struct err *e)
{
	for (unsigned i = 0; i < MAPS; i++) {
		auto_free char *path = path_of(o->directory, maps[i].name);

		if (access(path, F_OK) < 0 && lib.bpf_obj_pin(o->maps[i], path) < 0)
			return err_sys(e, -errno, "%s", path);
	}
	return 0;
}

static int load_object(struct fast_object *o, struct err *e)
{
	last_words[0] = '\0';
	if (open_with_maps(o, e) < 0)
		return e->code;
	if (lib.bpf_object__load(o->object) < 0)
		return err_set(e, -ENODEV,
			       "the kernel does not take the programs: %s%s%s; they need Linux 6.6 "
			       "with BTF and connection tracking",
			       strerror(errno), last_words[0] ? ": " : "", last_words);
	for (unsigned i = 0; i < MAPS; i++)
		o->maps[i] =
			lib.bpf_map__fd(lib.bpf_object__find_map_by_name(o->object, maps[i].name));
	for (unsigned i = 0; i < FAST_PROGRAMS; i++)
		o->programs[i] = lib.bpf_program__fd(
			lib.bpf_object__find_program_by_name(o->object, program_names[i]));
	return pin_maps(o, e);
}

static int find_tcx(struct err *e)
{
	uint32_t len = 0;

	if (lib.bpf_prog_query(1, TCX_INGRESS, 0, NULL, NULL, &len) < 0)
		return err_set(e, -ENODEV, "the kernel has no tcx, which Linux 6.6 brought: %s",
			       strerror(errno));
	return 0;
}

int fast_object_load(const char *directory, const char *owner, struct fast_object **ret,
		     struct err *e)
{
	struct fast_object *o;
	int rc = load_library(e);

	if (rc == 0)
		rc = find_tcx(e);
	if (rc == 0)
		rc = fast_pins_own(directory, owner, e);
	if (rc < 0)
		return rc;
	o = xcalloc(1, sizeof(*o));
	o->directory = xstrdup(directory);
	rc = load_object(o, e);
	if (rc < 0) {
		fast_object_free(o);
		return rc;
	}
	*ret = o;
	return 0;
}

void fast_object_free(struct fast_object *o)
{
	if (!o)
		return;
	lib.bpf_object__close(o->object);
	free(o->directory);
	free(o);
}

/* ---- links ---- */

/* The head of struct bpf_link_info, as far as it is of use; linux/bpf.h of 6.6. */
struct link_head {
	uint32_t type;
	uint32_t id;
	uint32_t program_id;
	uint32_t unused;
	uint32_t ifindex;
	uint32_t attach_type;
};

/* The pinned link; -1 if there is none that is attached to this device. */
static int find_link(const char *path, uint32_t ifindex, uint32_t *ret_program_id)
{
	union {
		struct link_head head;
		struct bpf_link_info info;
	} u = { 0 };
	uint32_t size = sizeof(u);
	int fd = lib.bpf_obj_get(path);

	if (fd < 0)
		return -1;
	if (lib.bpf_obj_get_info_by_fd(fd, &u.info, &size) == 0 && u.head.ifindex == ifindex) {
		*ret_program_id = u.head.program_id;
		return fd;
	}
	close(fd);
	unlink(path);
	return -1;
}

static uint32_t program_id(int fd)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);

	return lib.bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info.id : 0;
}

int fast_object_attach(const struct fast_object *o, uint32_t ifindex, enum fast_program program,
		       struct err *e)
{
	auto_free char *path = link_path(o, ifindex);
	uint32_t id = 0;
	auto_close int fd = find_link(path, ifindex, &id);

	if (fd >= 0 && id == program_id(o->programs[program]))
		return 0;
	if (fd >= 0) {
		if (lib.bpf_link_update(fd, o->programs[program], NULL) < 0)
			return err_sys(e, -errno, "device %u: replace the program", ifindex);
		return 0;
	}
	fd = lib.bpf_link_create(o->programs[program], (int)ifindex, TCX_INGRESS, NULL);
	if (fd < 0)
		return err_sys(e, -errno, "device %u: attach the program", ifindex);
	if (lib.bpf_obj_pin(fd, path) < 0)
		return err_sys(e, -errno, "%s", path);
	return 0;
}

void fast_object_detach(const struct fast_object *o, uint32_t ifindex)
{
	auto_free char *path = link_path(o, ifindex);

	unlink(path);
}

struct links {
	void (*visit)(void *arg, uint32_t ifindex);
	void *arg;
};

static void on_pin(void *arg, const char *name)
{
	const struct links *l = arg;
	char *rest;
	unsigned long ifindex;

	if (strncmp(name, LINK_PREFIX, strlen(LINK_PREFIX)) != 0)
		return;
	ifindex = strtoul(name + strlen(LINK_PREFIX), &rest, 10);
	if (ifindex && ifindex <= UINT32_MAX && !*rest)
		l->visit(l->arg, (uint32_t)ifindex);
}

void fast_object_links_visit(const struct fast_object *o,
			     void (*visit)(void *arg, uint32_t ifindex), void *arg)
{
	struct links l = { visit, arg };

	fast_pins_visit(o->directory, on_pin, &l);
}

unsigned fast_object_strangers(const struct fast_object *o, uint32_t ifindex)
{
	static const int hooks[] = { TCX_INGRESS, TCX_EGRESS };
	auto_free char *path = link_path(o, ifindex);
	unsigned sum = 0;
	uint32_t id = 0;
	auto_close int fd = -1;

	for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
		uint32_t len = 0;

		if (lib.bpf_prog_query((int)ifindex, (enum bpf_attach_type)hooks[i], 0, NULL, NULL,
				       &len) == 0)
			sum += len;
	}
	if (sum == 0)
		return 0;
	fd = find_link(path, ifindex, &id);
	return sum - (fd >= 0 ? 1 : 0);
}

/* ---- maps ---- */

int fast_object_set(const struct fast_object *o, const struct fast_settings *set, struct err *e)
{
	uint32_t zero = 0;

	if (lib.bpf_map_update_elem(o->maps[MAP_SETTINGS], &zero, set, BPF_ANY) < 0)
		return err_sys(e, -errno, "settings");
	return 0;
}

int fast_object_get(const struct fast_object *o, struct fast_settings *ret, struct err *e)
{
	uint32_t zero = 0;

	if (lib.bpf_map_lookup_elem(o->maps[MAP_SETTINGS], &zero, ret) < 0)
		return err_sys(e, -errno, "settings");
	return 0;
}

/* How many values a map has for each key that counts for each processor; 0: it cannot be told. */
static size_t processors(void)
{
	int n = lib.libbpf_num_possible_cpus();

	return n < 1 || n > CPUS_MAX ? 0 : (size_t)n;
}

void fast_object_outcomes(const struct fast_object *o, uint64_t ret[static FAST_OUTCOMES_LEN])
{
	size_t cpus = processors();
	auto_free uint64_t *values = xcalloc(cpus + 1, sizeof(*values));

	memset(ret, 0, sizeof(*ret) * FAST_OUTCOMES_LEN);
	for (uint32_t i = 0; cpus && i < FAST_OUTCOMES_LEN; i++) {
		if (lib.bpf_map_lookup_elem(o->maps[MAP_OUTCOMES], &i, values) < 0)
			continue;
		for (size_t cpu = 0; cpu < cpus; cpu++)
			ret[i] += values[cpu];
	}
}

/* Shows the sums of a map that counts for each processor. */
static void visit_counts(const struct fast_object *o, unsigned map,
			 void (*visit)(const struct fast_count_ops *ops, void *arg, const void *key,
				       const struct fast_count *sum),
			 const struct fast_count_ops *ops, void *arg)
{
	size_t cpus = processors();
	auto_free struct fast_count *values = xcalloc(cpus + 1, sizeof(*values));
	struct fast_metered keys[2]; /* the larger one of both kinds */
	bool first = true;

	for (unsigned i = 0; cpus && i < maps[map].len; i++, first = false, keys[0] = keys[1]) {
		struct fast_count sum = { 0 };

		if (lib.bpf_map_get_next_key(o->maps[map], first ? NULL : &keys[0], &keys[1]) < 0)
			return;
		if (lib.bpf_map_lookup_elem(o->maps[map], &keys[1], values) < 0)
			continue;
		for (size_t cpu = 0; cpu < cpus; cpu++) {
			sum.packets += values[cpu].packets;
			sum.bytes += values[cpu].bytes;
		}
		visit(ops, arg, &keys[1], &sum);
	}
}

static void on_metered(const struct fast_count_ops *ops, void *arg, const void *key,
		       const struct fast_count *sum)
{
	ops->metered(arg, key, sum);
}

static void on_delivered(const struct fast_count_ops *ops, void *arg, const void *key,
			 const struct fast_count *sum)
{
	ops->delivered(arg, *(const uint32_t *)key, sum);
}

void fast_object_counts_visit(const struct fast_object *o, const struct fast_count_ops *ops,
			      void *arg)
{
	visit_counts(o, MAP_METERED, on_metered, ops, arg);
	visit_counts(o, MAP_DELIVERED, on_delivered, ops, arg);
}

void fast_object_counts_forget(const struct fast_object *o)
{
	static const unsigned counting[] = { MAP_METERED, MAP_DELIVERED };
	struct fast_metered key;

	for (size_t i = 0; i < ARRAY_LEN(counting); i++) {
		int fd = o->maps[counting[i]];

		for (unsigned n = 0; n < maps[counting[i]].len; n++) {
			if (lib.bpf_map_get_next_key(fd, NULL, &key) < 0 ||
			    lib.bpf_map_delete_elem(fd, &key) < 0)
				break;
		}
	}
}

int fast_object_put(const struct fast_object *o, const struct fast_address *address,
		    const struct fast_container *c, struct err *e)
{
	if (lib.bpf_map_update_elem(o->maps[MAP_DEVICES], &c->ifindex, &c->ifindex, BPF_ANY) < 0)
		return err_sys(e, -errno, "device %u", c->ifindex);
	if (lib.bpf_map_update_elem(o->maps[MAP_CONTAINERS], address, c, BPF_ANY) < 0)
		return err_sys(e, -errno, "container");
	return 0;
}

void fast_object_drop(const struct fast_object *o, const struct fast_address *address)
{
	lib.bpf_map_delete_elem(o->maps[MAP_CONTAINERS], address);
}

void fast_object_containers_visit(const struct fast_object *o,
				  void (*visit)(void *arg, const struct fast_address *address,
						const struct fast_container *c, bool device),
				  void *arg)
{
	struct fast_address key;
	struct fast_address next;
	struct fast_container c;
	bool first = true;
	uint32_t device;

	/* More than there is room for: somebody changes it meanwhile, and it began anew. */
	for (unsigned i = 0; i < FAST_CONTAINERS_MAX; i++, first = false, key = next) {
		if (lib.bpf_map_get_next_key(o->maps[MAP_CONTAINERS], first ? NULL : &key, &next) <
		    0)
			return;
		if (lib.bpf_map_lookup_elem(o->maps[MAP_CONTAINERS], &next, &c) < 0)
			continue;
		visit(arg, &next, &c,
		      lib.bpf_map_lookup_elem(o->maps[MAP_DEVICES], &c.ifindex, &device) == 0);
	}
}

#endif
