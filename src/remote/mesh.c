/*
 * src/remote/mesh.c
 *
 * Meshes of the gradient channel as resources of a server's process.
 *
 * The library's threads must be gone before the process ends: exit() takes down the C++ library
 * under them. So all meshes are in a list, and a callback closes those that are left.
 */
#include "postgres.h"

#include <dlfcn.h>
#include <unistd.h>

#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "core/pulse.h"
#include "core/settings.h"
#include "remote/mesh.h"

#define WAIT_MS 50
#define TAKEN_MS 5000 /* for the port of another training, which it needs while it begins */

struct GptMesh
{
	dlist_node node; /* of meshes */
	LmMesh *mesh; /* NULL: closed */
	MemoryContextCallback on_reset;
};

static dlist_head meshes = DLIST_STATIC_INIT(meshes);
static const LmCollective *collective; /* NULL before it is loaded; never unloaded */

static void load_library(void);
static void close_on_reset(void *argument);
static void close_all(int code, Datum argument);

void
gpt_mesh_check_address(void)
{
	if (gpt_gradient_address == NULL || gpt_gradient_address[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this server has no address for gradients"),
				 errdetail("Gradients travel without encryption, so the administrator names the "
						   "network."),
				 errhint("Set gpt.gradient_address to an address of a private network, or give "
						 "\"sync\" a number of steps.")));
}

void
gpt_mesh_check(void)
{
	gpt_mesh_check_address();
	if (!collective)
		load_library();
}

/* Loads gpt_gloo.so from the folder that has this library. */
static void
load_library(void)
{
	char path[MAXPGPATH];
	Dl_info self;
	void *library;
	LmCollectiveEntry entry;

	if (dladdr((void *) gpt_mesh_check, &self) == 0 || self.dli_fname == NULL)
		elog(ERROR, "could not find the folder of this library");
	strlcpy(path, self.dli_fname, sizeof path);
	get_parent_directory(path);
	strlcat(path, "/gpt_gloo.so", sizeof path);
	if (access(path, F_OK) != 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("this installation has no library for gradients"),
						errdetail("There is no file \"%s\".", path),
						errhint("Install libgloo-dev and libssl-dev and build the extension again, "
								"or give \"sync\" a number of steps.")));
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!library)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("could not load library \"%s\": %s", path, dlerror())));
	entry = (LmCollectiveEntry) dlsym(library, LM_COLLECTIVE_SYMBOL);
	if (!entry || entry()->version != LM_COLLECTIVE_VERSION)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("library \"%s\" is of another version", path),
						errhint("Build and install the extension again.")));
	before_shmem_exit(close_all, (Datum) 0);
	collective = entry();
}

/* Waits while the port is another training's. NULL and *error where it cannot be had. */
static LmMesh *
open_when_free(LmMeshError *error)
{
	TimestampTz begin = GetCurrentTimestamp();
	LmMesh *mesh;

	for (;;)
	{
		mesh = collective->open(gpt_gradient_address, error);
		if (mesh || !error->is_taken ||
			TimestampDifferenceExceeds(begin, GetCurrentTimestamp(), TAKEN_MS))
			return mesh;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WAIT_MS,
						 gpt_wait_event("GptGradients"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		gpt_pulse();
	}
}

GptMesh *
gpt_mesh_open(void)
{
	GptMesh *mesh;
	LmMeshError error = {.member = -1};

	gpt_mesh_check();
	mesh = palloc0(sizeof *mesh);
	mesh->mesh = open_when_free(&error);
	if (!mesh->mesh)
		ereport(ERROR, (errcode(error.is_taken ? ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION
											   : ERRCODE_CONFIG_FILE_ERROR),
						errmsg("could not open gpt.gradient_address: %s", error.message),
						error.is_taken
							? errhint("Name another port, or none, in gpt.gradient_address.")
							: errhint("Set gpt.gradient_address to an address of this machine.")));
	dlist_push_tail(&meshes, &mesh->node);
	mesh->on_reset.func = close_on_reset;
	mesh->on_reset.arg = mesh;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &mesh->on_reset);
	return mesh;
}

const char *
gpt_mesh_address(const GptMesh *mesh)
{
	return collective->address(mesh->mesh);
}

bool
gpt_mesh_connect(GptMesh *mesh, const LmMeshPeers *peers, LmMeshError *error)
{
	*error = (LmMeshError){.member = -1};
	return collective->connect(mesh->mesh, peers, error);
}

const LmCollective *
gpt_mesh_collective(const GptMesh *mesh)
{
	return collective;
}

LmMesh *
gpt_mesh_handle(const GptMesh *mesh)
{
	return mesh->mesh;
}

void
gpt_mesh_close(GptMesh *mesh)
{
	if (!mesh || !mesh->mesh)
		return;
	dlist_delete(&mesh->node);
	collective->close(mesh->mesh);
	mesh->mesh = NULL;
}

static void
close_on_reset(void *argument)
{
	gpt_mesh_close(argument);
}

static void
close_all(int code, Datum argument)
{
	while (!dlist_is_empty(&meshes))
		gpt_mesh_close(dlist_head_element(GptMesh, node, &meshes));
}
