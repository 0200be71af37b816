/* SPDX-License-Identifier: Apache-2.0 */
/* The fast path for people: how it is, what became of packets, and in what the maps differ. */
#include "fastpath/fast_path_internal.h"

#define NAME(upper, name, text) [FAST_##upper] = name,
#define TEXT(upper, name, text) [FAST_##upper] = text,
static const char *const outcome_names[FAST_OUTCOMES_LEN] = { FAST_OUTCOMES(NAME) };
static const char *const outcome_texts[FAST_OUTCOMES_LEN] = { FAST_OUTCOMES(TEXT) };

const char *fast_outcome_name(enum fast_outcome outcome)
{
	return outcome_names[outcome];
}

const char *fast_outcome_text(enum fast_outcome outcome)
{
	return outcome_texts[outcome];
}

void fast_path_view(const struct fast_path *f, struct fast_path_view *ret)
{
	*ret = (struct fast_path_view){ .mode = "off", .reason = "", .refused_why = "" };
	if (!f)
		return;
	ret->mode = f->options->fast_path;
	ret->on = f->on;
	ret->reason = f->reason;
	ret->containers = f->survey.len;
	ret->refused = f->survey.refused;
	ret->refused_why = f->survey.refused_why;
	ret->healed_total = f->healed_total;
	ret->writes_total = f->writes_total;
	if (f->object)
		fast_object_outcomes(f->object, ret->outcomes);
}

void fast_path_problems(const struct fast_path *f, struct problem_list *ret)
{
	if (f && f->told && fast_path_is_wanted(f) && !f->on)
		problem_add(ret, PROBLEM_INFO, "fast-path-off", "%s; packets go the ordinary way",
			    f->reason);
}

struct difference {
	void (*visit)(void *arg, const char *action, const char *kind, const char *text);
	void *arg;
	const struct fast_path *f;
	bool *known; /* which of the survey's stand somehow */
};

static void show(const struct difference *d, const char *action, const struct fast_address *address,
		 const struct fast_container *c)
{
	struct ip_addr addr = fast_address_to(address);
	char addr_text[IP_ADDR_TEXT];
	char mac_text[MAC_TEXT];
	struct mac_addr mac;
	char text[IP_ADDR_TEXT + MAC_TEXT + 64];

	memcpy(mac.b, c->mac, sizeof(mac.b));
	snprintf(text, sizeof(text), "shortcut %s lladdr %s dev %u",
		 ip_addr_format(&addr, addr_text), mac_addr_format(&mac, mac_text), c->ifindex);
	d->visit(d->arg, action, "shortcut", text);
}

static void show_difference(void *arg, const struct fast_address *address,
			    const struct fast_container *c, bool device)
{
	struct difference *d = arg;
	const struct fast_found *want = fast_survey_find(&d->f->survey, address);

	if (!want)
		show(d, "drop", address, c);
	else if (!device || memcmp(&want->container, c, sizeof(*c)) != 0)
		show(d, "replace", address, &want->container);
	if (want)
		d->known[want - d->f->survey.items] = true;
}

void fast_path_difference(const struct fast_path *f,
			  void (*visit)(void *arg, const char *action, const char *kind,
					const char *text),
			  void *arg)
{
	struct difference d = { .visit = visit, .arg = arg };

	if (!f || !f->object || !f->settled)
		return;
	d.f = f;
	d.known = xcalloc(f->survey.len + 1, sizeof(bool));
	fast_object_containers_visit(f->object, show_difference, &d);
	for (size_t i = 0; i < f->survey.len; i++) {
		if (!d.known[i])
			show(&d, "create", &f->survey.items[i].address,
			     &f->survey.items[i].container);
	}
	free(d.known);
}
