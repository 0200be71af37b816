/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/protobuf.h"

#include <dlfcn.h>
#include <errno.h>
#include <protobuf-c/protobuf-c.h>

#include "lib/dlopen.h"

/* Of every version since 1.0. */
#define SONAME "libprotobuf-c.so.1"

DLOPEN_NOTE("protobuf", "etcd by gRPC", "required", SONAME);

static struct {
	typeof(protobuf_c_message_get_packed_size) *get_packed_size;
	typeof(protobuf_c_message_pack) *pack;
	typeof(protobuf_c_message_pack_to_buffer) *pack_to_buffer;
	typeof(protobuf_c_message_unpack) *unpack;
	typeof(protobuf_c_message_free_unpacked) *free_unpacked;
} library;

/* What strings point to that are not there; the library compares with what the description says. */
const char protobuf_c_empty_string[] = "";

int protobuf_load(struct err *e)
{
	void *handle;

	if (library.free_unpacked)
		return 0;
	handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return err_set(e, -ELIBACC, "%s", dlerror());
#define FIND(name)                                                                                 \
	library.name = dlsym(handle, "protobuf_c_message_" #name);                                 \
	if (!library.name)                                                                         \
		return err_set(e, -ELIBACC, "%s", dlerror());
	FIND(get_packed_size)
	FIND(pack)
	FIND(pack_to_buffer)
	FIND(unpack)
	FIND(free_unpacked)
#undef FIND
	return 0;
}

size_t protobuf_c_message_get_packed_size(const ProtobufCMessage *message)
{
	return library.get_packed_size(message);
}

size_t protobuf_c_message_pack(const ProtobufCMessage *message, uint8_t *out)
{
	return library.pack(message, out);
}

size_t protobuf_c_message_pack_to_buffer(const ProtobufCMessage *message, ProtobufCBuffer *buffer)
{
	return library.pack_to_buffer(message, buffer);
}

ProtobufCMessage *protobuf_c_message_unpack(const ProtobufCMessageDescriptor *descriptor,
					    ProtobufCAllocator *allocator, size_t len,
					    const uint8_t *data)
{
	return library.unpack(descriptor, allocator, len, data);
}

void protobuf_c_message_free_unpacked(ProtobufCMessage *message, ProtobufCAllocator *allocator)
{
	library.free_unpacked(message, allocator);
}
