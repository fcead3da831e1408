/*
 * src/gloo/gpt_gloo.cpp
 *
 * What gpt_gloo.so exports: the table of include/engine/collective.h over meshes (mesh.h). The
 * object knows nothing of the server, which loads it where a training over servers wants it. No
 * exception leaves it.
 */
#include <stdio.h>

#include "mesh.h"

namespace
{

/* Fills *error, which may be NULL. */
void
fill(LmMeshError *error, int member, const char *message, bool is_taken = false)
{
	if (!error)
		return;
	error->member = member;
	error->is_aborted = false;
	error->is_taken = is_taken;
	snprintf(error->message, sizeof error->message, "%s", message);
}

/* Runs the body; on an exception fills *error and returns false. */
template <typename Body>
bool
guarded(LmMeshError *error, Body body)
{
	try
	{
		body();
		return true;
	}
	catch (const MeshFailure &failure)
	{
		fill(error, failure.member, failure.what(), failure.is_taken);
	}
	catch (const std::exception &caught)
	{
		fill(error, -1, caught.what());
	}
	catch (...)
	{
		fill(error, -1, "unknown exception");
	}
	return false;
}

/* The same on a mesh's thread, where an earlier failure is the cause of what was thrown. */
template <typename Body>
bool
guarded_task(LmMesh *mesh, LmMeshError *error, Body body)
{
	LmMeshError own = {-1, false, "", false};

	if (guarded(&own, body))
		return true;
	if (mesh->is_failed())
		mesh->copy_error(&own);
	if (error)
		*error = own;
	return false;
}

LmMesh *
mesh_open(const char *address, LmMeshError *error)
{
	LmMesh *mesh = nullptr;

	guarded(error, [&] { mesh = new LmMesh(address); });
	return mesh;
}

const char *
mesh_address(const LmMesh *mesh)
{
	return mesh->text_.c_str();
}

bool
mesh_connect(LmMesh *mesh, const LmMeshPeers *peers, LmMeshError *error)
{
	return guarded(error, [&] { mesh->connect(peers); });
}

bool
mesh_submit(LmMesh *mesh, LmMeshTask task, void *context)
{
	return guarded(nullptr, [&] { mesh->submit(task, context); });
}

LmMeshState
mesh_state(LmMesh *mesh, LmMeshError *error)
{
	return mesh->state(error);
}

int
mesh_event_file(const LmMesh *mesh)
{
	return mesh->event_.get();
}

void
mesh_abort(LmMesh *mesh)
{
	guarded(nullptr, [&] { mesh->abort(); });
}

void
mesh_close(LmMesh *mesh)
{
	delete mesh;
}

int64_t
mesh_refused(const LmMesh *mesh)
{
	return mesh->meeting_.refused.load();
}

void
mesh_traffic(const LmMesh *mesh, uint64_t *sent, uint64_t *received)
{
	*sent = mesh->sent_.load();
	*received = mesh->received_.load();
}

int
mesh_member(const LmMesh *mesh)
{
	return mesh->meeting_.member;
}

int
mesh_members(const LmMesh *mesh)
{
	return mesh->meeting_.members;
}

bool
mesh_send(LmMesh *mesh, int member, uint32_t tag, const void *data, size_t size, LmMeshError *error)
{
	return guarded_task(mesh, error,
						[&] { mesh->post(false, member, tag, const_cast<void *>(data), size); });
}

bool
mesh_receive(LmMesh *mesh, int member, uint32_t tag, void *data, size_t size, LmMeshError *error)
{
	return guarded_task(mesh, error, [&] { mesh->post(true, member, tag, data, size); });
}

bool
mesh_wait(LmMesh *mesh, LmMeshError *error)
{
	return guarded_task(mesh, error, [&] { mesh->wait(); });
}

bool
mesh_is_stopping(const LmMesh *mesh)
{
	return mesh->is_failed();
}

bool
mesh_allreduce(LmMesh *mesh, float *data, size_t n, LmMeshError *error)
{
	return guarded_task(mesh, error, [&] { mesh->allreduce(data, n); });
}

const LmCollective collective = {
	LM_COLLECTIVE_VERSION, mesh_open,  mesh_address, mesh_connect, mesh_submit,		 mesh_state,
	mesh_event_file,	   mesh_abort, mesh_close,	 mesh_refused, mesh_traffic,	 mesh_member,
	mesh_members,		   mesh_send,  mesh_receive, mesh_wait,	   mesh_is_stopping, mesh_allreduce,
};

} // namespace

const LmCollective *
gpt_gloo_collective(void)
{
	return &collective;
}
