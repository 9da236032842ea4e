/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The name block of a VDI request: name[256], or name[256] and tag[256] (P 2.3).
 */
#ifndef LAMB_VDINAME_H
#define LAMB_VDINAME_H

#include "include/sheepdog.h"
#include "lamb/request.h"

#include <string.h>

struct vdi_name {
	char name[SD_NAME_SIZE];
	char tag[SD_TAG_SIZE]; /* empty: none */
};

/* False: the payload has another size, or a part does not end in NUL. */
static inline bool vdiname_parse(const struct request *request, struct vdi_name *name)
{
	uint32_t size = request->req.data_length;

	memset(name, 0, sizeof *name);
	if (!request->data || (size != SD_NAME_SIZE && size != sizeof *name))
		return false;
	memcpy(name, request->data, size);
	return !name->name[SD_NAME_SIZE - 1] && !name->tag[SD_TAG_SIZE - 1];
}

#endif
