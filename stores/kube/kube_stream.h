/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an API server sends, cut into the objects it consists of while it comes in: a list of 75 MB
 * never stands in memory, one node of it does.
 *
 * Nothing is judged here but brackets and quotes; each piece is whole in them and goes to a parser. In the
 * place of its "images" and "managedFields", two thirds of a Node which nobody reads, stands null.
 */
#ifndef STORES_KUBE_KUBE_STREAM_H
#define STORES_KUBE_KUBE_STREAM_H

#include "lib/buffer.h"
#include "lib/err.h"

/* No object of an API server is larger: etcd takes 1.5 MiB a request; as JSON it may be twice that. */
#define KUBE_OBJECT_MAX_SIZE ((size_t)3 * 1024 * 1024)

enum kube_stream_form {
	KUBE_STREAM_LIST,   /* one object, of which those in "items" are the pieces */
	KUBE_STREAM_EVENTS, /* objects one behind the other, with or without white space between */
};

/* `text` is NUL-terminated, and gone after the call. The stream may be neither fed nor ended in it. */
typedef void kube_stream_fn(void *arg, const char *text, size_t size);

struct kube_stream {
	enum kube_stream_form form;
	kube_stream_fn *fn;
	void *arg;
	/* where the next byte is */
	unsigned depth;
	bool quoted;
	bool escaped;
	bool in_items;
	bool was_items;      /* the last string in the list itself is "items" */
	struct buffer piece; /* that is coming in */
	struct buffer rest;  /* LIST: the list, in which a 0 stands for each piece */
	size_t word;         /* in `rest`, where the string begins */
};

/* All zero is no stream. `fn` is given each piece, from kube_stream_feed. */
void kube_stream_init(struct kube_stream *s, enum kube_stream_form form, kube_stream_fn *fn,
		      void *arg);
void kube_stream_fini(struct kube_stream *s);

/* -EFBIG: a piece, or what is around them, is larger than KUBE_OBJECT_MAX_SIZE; -EBADMSG: these are no
 * objects. Nothing can be fed after an error. */
int kube_stream_feed(struct kube_stream *s, const char *data, size_t size,
		     struct err *e) MUST_CHECK;

/*
 * All has been fed. -EBADMSG: it ends within an object. LIST: *ret_rest is the list with a 0 in the
 * place of each piece, NUL-terminated, borrowed until kube_stream_fini; NULL for EVENTS.
 */
int kube_stream_end(struct kube_stream *s, const char **ret_rest, size_t *ret_size,
		    struct err *e) MUST_CHECK;

#endif
