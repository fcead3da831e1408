/*
 * src/gloo/mesh.h
 *
 * A mesh: its thread, its tasks, and what it has of Gloo.
 *
 * Order of locks: a pair's (Gloo's), then mutex_, then active_mutex_, then an unbound buffer's
 * (Gloo's). The loop's thread holds a pair's lock when it calls lost(). Nobody holds mutex_ or
 * active_mutex_ when calling what locks a pair.
 */
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include <gloo/context.h>
#include <gloo/transport/tcp/context.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/transport/unbound_buffer.h>

#include "handshake.h"

/* What was begun by send or receive. */
struct Posted
{
	bool is_receive;
	int member;
	uint32_t tag;
	uint64_t number;
	void *data;
	size_t size;
	uint8_t mac[kMac];
	std::unique_ptr<gloo::transport::UnboundBuffer> body;
	std::unique_ptr<gloo::transport::UnboundBuffer> seal;
};

struct Task
{
	LmMeshTask function;
	void *context;
};

class AdoptedPair;

/* The mesh itself. */
struct LmMesh
{
  public:
	explicit LmMesh(const char *address);
	~LmMesh();

	void connect(const LmMeshPeers *peers);
	void submit(LmMeshTask task, void *context);
	LmMeshState state(LmMeshError *error);
	void abort();
	void post(bool is_receive, int member, uint32_t tag, void *data, size_t size);
	void wait();
	void allreduce(float *data, size_t n);
	void fail(int member, bool is_aborted, const std::string &message);
	/* On the loop's thread, a pair's lock held. */
	void lost(int member, const char *why);

	bool is_failed() const
	{
		return failed_.load();
	}
	bool has_sums() const
	{
		return has_sums_.load();
	}
	void copy_error(LmMeshError *error);

	Meeting meeting_;
	std::string text_;
	std::atomic<uint64_t> sent_{0};
	std::atomic<uint64_t> received_{0};
	File event_; /* readable while not busy */

  private:
	void run();
	void adopt_all();
	void run_task(const Task &task);
	void hang_up();
	void begin(Posted &posted);
	void finish(Posted &posted);
	void forget_posted();
	void wake_waiters();
	void become_busy();
	void become_quiet(bool has_thread);
	void set_event(bool readable);

	File wake_; /* wakes the handshake */
	std::mutex mutex_; /* of the next */
	std::condition_variable changed_;
	std::deque<Task> tasks_;
	bool has_thread_ = false; /* which calls hang_up() before its end */
	bool is_quiet_ = true; /* nothing of the mesh's thread touches the caller's memory */
	bool is_closing_ = false;
	LmMeshError error_ = {};

	std::atomic<bool> failed_{false};
	std::atomic<bool> has_sums_{false}; /* allreduce was called */
	std::mutex active_mutex_; /* of the list's links, not of what a Posted holds */
	std::list<Posted> posted_;
	std::thread thread_;

	std::shared_ptr<gloo::transport::tcp::Device> device_;
	std::shared_ptr<gloo::transport::tcp::Context> context_;
	std::shared_ptr<gloo::Context> sums_;
	std::vector<AdoptedPair *> pairs_; /* owned by context_ */
};
