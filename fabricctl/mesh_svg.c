/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix as a picture. Cells that are alike and beside each other in a row are one piece of a
 * path, so that 400 hosts that reach each other are a few kilobytes. What is bad has a sign as well as
 * a colour, and says what it is when it is pointed at.
 */
#include <string.h>

#include "fabricctl/mesh.h"
#include "fabricctl/text.h"

#define PICTURE_SIZE 880
#define CELL_MAX     28
#define CELL_MIN     2
#define LABELS_MAX   60 /* hosts; with more there is no room for their names */
#define LABEL_WIDTH  150
#define MARGIN       8
#define LEGEND_SIZE  34
#define MARKS_MAX    4000 /* bad cells that are drawn one by one */
#define LABEL_CHARS  19

static const char style[] =
	"<style>"
	".mesh{--ground:#fff;--text:#1c2024;--grid:#fff;--ok:#3f9b5f;--new:#b9bec4;--unknown:#"
	"e3e5e8;"
	"--self:#8b9198;--lossy:#e0a100;--tunnel:#d9622b;--silent:#b3261e;--sign:#fff;"
	"font:12px system-ui,sans-serif}"
	"@media (prefers-color-scheme:dark){.mesh{--ground:#14171a;--text:#e6e8ea;--grid:#14171a;"
	"--ok:#3c8f59;--new:#596069;--unknown:#2b3036;--self:#6d747c;--lossy:#d19a0a;--tunnel:#"
	"d9622b;"
	"--silent:#d4453c}}"
	"@media print{.mesh{--ground:#fff;--text:#000;--grid:#fff}}"
	".mesh text{fill:var(--text)}.mesh .ground{fill:var(--ground)}.mesh "
	".sign{stroke:var(--sign)}"
	".mesh .self{fill:var(--self)}.mesh .unknown{fill:var(--unknown)}.mesh .ok{fill:var(--ok)}"
	".mesh .new{fill:var(--new)}.mesh .lossy{fill:var(--lossy)}"
	".mesh .tunnel-silent{fill:var(--tunnel)}.mesh .silent{fill:var(--silent)}"
	"</style>";

struct picture {
	const struct mesh *mesh;
	FILE *out;
	unsigned cell; /* pixels from one to the next */
	unsigned gap;
	unsigned left; /* of the matrix */
	unsigned top;
};

/* Names are bytes from outside. */
static void put_text(FILE *out, const char *text, size_t chars_max)
{
	auto_free char *safe = text_escape(text, true);
	size_t chars = 0;

	for (const char *p = safe; *p; p++) {
		bool starts = ((unsigned char)*p & 0xc0) != 0x80;

		if (starts && chars++ == chars_max) {
			fputs("\u2026", out);
			return;
		}
		if (*p == '<')
			fputs("&lt;", out);
		else if (*p == '>')
			fputs("&gt;", out);
		else if (*p == '&')
			fputs("&amp;", out);
		else if (*p == '"')
			fputs("&quot;", out);
		else
			fputc(*p, out);
	}
}

static unsigned x_of(const struct picture *p, size_t to)
{
	return p->left + (unsigned)to * p->cell;
}

static unsigned y_of(const struct picture *p, size_t from)
{
	return p->top + (unsigned)from * p->cell;
}

static void put_labels(const struct picture *p)
{
	const struct fleet_host *hosts = p->mesh->fleet->hosts;
	unsigned middle = p->cell / 2 + 4;

	if (p->mesh->len > LABELS_MAX)
		return;
	for (size_t i = 0; i < p->mesh->len; i++) {
		fprintf(p->out, "<text x=\"%u\" y=\"%u\" text-anchor=\"end\">", p->left - 6,
			y_of(p, i) + middle);
		put_text(p->out, hosts[i].name, LABEL_CHARS);
		fprintf(p->out, "</text><text transform=\"translate(%u,%u) rotate(-60)\">",
			x_of(p, i) + middle, p->top - 6);
		put_text(p->out, hosts[i].name, LABEL_CHARS);
		fputs("</text>\n", p->out);
	}
}

/* All cells of one kind, in one path. */
static void put_kind(const struct picture *p, enum mesh_way way)
{
	const struct mesh *m = p->mesh;
	bool begun = false;

	for (size_t from = 0; from < m->len; from++) {
		for (size_t to = 0; to < m->len; to++) {
			size_t first = to;
			unsigned width;

			while (to < m->len && mesh_cell(m, from, to)->way == way)
				to++;
			if (to == first)
				continue;
			if (!begun)
				fprintf(p->out, "<path class=\"%s\" d=\"", mesh_way_name(way));
			begun = true;
			width = (unsigned)(to - first) * p->cell - p->gap;
			fprintf(p->out, "M%u %uh%uv%uh-%uz", x_of(p, first), y_of(p, from), width,
				p->cell - p->gap, width);
		}
	}
	if (begun)
		fputs("\"/>\n", p->out);
}

static void put_title(const struct picture *p, size_t from, size_t to)
{
	const struct mesh_cell *cell = mesh_cell(p->mesh, from, to);

	fputs("<title>", p->out);
	put_text(p->out, p->mesh->fleet->hosts[from].name, SIZE_MAX);
	fputs(" \u2192 ", p->out);
	put_text(p->out, p->mesh->fleet->hosts[to].name, SIZE_MAX);
	fprintf(p->out, ": %s", mesh_way_name(cell->way));
	if (cell->loss_percent)
		fprintf(p->out, ", %u %% lost", cell->loss_percent);
	if (cell->rtt_us >= 0)
		fprintf(p->out, ", %.3g ms", cell->rtt_us / 1e3);
	fputs("</title>", p->out);
}

/* A cross for silence, one stroke for the tunnel's, a dot for loss. */
static void put_sign(const struct picture *p, enum mesh_way way, unsigned x, unsigned y)
{
	unsigned size = p->cell - p->gap;
	unsigned a = size / 4;
	unsigned b = size - a;

	if (size < 8)
		return;
	if (way == MESH_LOSSY) {
		fprintf(p->out,
			"<circle class=\"sign\" fill=\"none\" cx=\"%u\" cy=\"%u\" r=\"%u\"/>",
			x + size / 2, y + size / 2, size / 5);
		return;
	}
	fprintf(p->out, "<path class=\"sign\" d=\"M%u %uL%u %u", x + a, y + a, x + b, y + b);
	if (way == MESH_SILENT)
		fprintf(p->out, "M%u %uL%u %u", x + b, y + a, x + a, y + b);
	fputs("\"/>", p->out);
}

static void put_bad(const struct picture *p)
{
	const struct mesh *m = p->mesh;
	size_t marks = 0;

	for (size_t from = 0; from < m->len; from++) {
		for (size_t to = 0; to < m->len && marks < MARKS_MAX; to++) {
			enum mesh_way way = mesh_cell(m, from, to)->way;
			unsigned x = x_of(p, to);
			unsigned y = y_of(p, from);

			if (!mesh_way_is_bad(way))
				continue;
			marks++;
			fprintf(p->out,
				"<g><rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"%u\" "
				"height=\"%u\"/>",
				mesh_way_name(way), x, y, p->cell - p->gap, p->cell - p->gap);
			put_title(p, from, to);
			put_sign(p, way, x, y);
			fputs("</g>\n", p->out);
		}
	}
}

static void put_legend(const struct picture *p, unsigned y)
{
	unsigned x = p->left;

	for (enum mesh_way way = MESH_UNKNOWN; way < MESH_WAYS; way++) {
		if (!p->mesh->counts[way])
			continue;
		fprintf(p->out,
			"<rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"12\" height=\"12\"/>"
			"<text x=\"%u\" y=\"%u\">%s %zu</text>\n",
			mesh_way_name(way), x, y, x + 17, y + 10, mesh_way_name(way),
			p->mesh->counts[way]);
		x += 60 + 8 * (unsigned)strlen(mesh_way_name(way));
	}
}

void mesh_print_svg(const struct mesh *m, FILE *out, bool inside)
{
	unsigned len = (unsigned)MAX(m->len, (size_t)1);
	unsigned cell = MIN(MAX(PICTURE_SIZE / len, (unsigned)CELL_MIN), (unsigned)CELL_MAX);
	bool labels = m->len <= LABELS_MAX;
	struct picture p = {
		.mesh = m,
		.out = out,
		.cell = cell,
		.gap = cell >= 6,
		.left = labels ? LABEL_WIDTH : MARGIN,
		.top = labels ? LABEL_WIDTH : MARGIN,
	};
	unsigned height = y_of(&p, m->len) + LEGEND_SIZE;
	/* Room for the last name, which leans over, and for the legend. */
	unsigned width = MAX(x_of(&p, m->len) + (labels ? LABEL_WIDTH / 2 : MARGIN), 700u);

	if (!inside)
		fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", out);
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"mesh\" role=\"img\" "
		"aria-label=\"who reaches whom\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\" "
		"data-left=\"%u\" data-top=\"%u\" data-cell=\"%u\" data-hosts=\"%zu\">\n",
		width, height, width, height, p.left, p.top, p.cell, m->len);
	fputs(style, out);
	fprintf(out, "<rect class=\"ground\" width=\"%u\" height=\"%u\"/>\n", width, height);
	put_labels(&p);
	for (enum mesh_way way = 0; way < MESH_WAYS; way++)
		put_kind(&p, way);
	put_bad(&p);
	put_legend(&p, height - LEGEND_SIZE + 12);
	fputs("</svg>\n", out);
}
