/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page: mesh_page.html with the picture and the data put where it says so. It fetches nothing, and
 * what came from outside reaches it as JSON alone, which its script shows as text.
 */
#include <string.h>

#include "fabricctl/mesh.h"

/* The file itself, with a NUL behind it. */
__asm__(".pushsection .rodata\n"
	"mesh_page:\n"
	".incbin \"fabricctl/mesh_page.html\"\n"
	".byte 0\n"
	".popsection\n");
extern const char mesh_page[];

#define DATA_MARK    "@DATA@"
#define PICTURE_MARK "@PICTURE@"

/* Inside a script element nothing may read as its end, or as a comment's beginning. */
static int put_json(const char *bytes, size_t size, void *out)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '<')
			fputs("\\u003c", out);
		else
			fputc(bytes[i], out);
	}
	return 0;
}

/* For each host those of its peers that it names: [index, reach, percent lost, microseconds]. */
static json_t *rows_json(const struct mesh *m)
{
	json_t *rows = json_array();

	for (size_t from = 0; from < m->len; from++) {
		json_t *row = json_array();

		for (size_t to = 0; to < m->len; to++) {
			const struct mesh_cell *cell = mesh_cell(m, from, to);

			if (cell->named)
				json_array_append_new(row, json_pack("[i,s,i,i]", (int)to,
								     mesh_way_name(cell->way),
								     (int)cell->loss_percent,
								     (int)cell->rtt_us));
		}
		json_array_append_new(rows, row);
	}
	return rows;
}

static json_t *page_json(const struct mesh *m)
{
	json_t *document = mesh_json(m);

	json_object_del(document, "items");
	json_object_set_new(document, "rows", rows_json(m));
	return document;
}

void mesh_print_html(const struct mesh *m, FILE *out)
{
	const char *picture = strstr(mesh_page, PICTURE_MARK);
	const char *data = strstr(mesh_page, DATA_MARK);
	json_t *document = page_json(m);

	fwrite(mesh_page, 1, (size_t)(picture - mesh_page), out);
	mesh_print_svg(m, out, true);
	picture += strlen(PICTURE_MARK);
	fwrite(picture, 1, (size_t)(data - picture), out);
	json_dump_callback(document, put_json, out, JSON_COMPACT | JSON_ENSURE_ASCII);
	fputs(data + strlen(DATA_MARK), out);
	json_decref(document);
}
