/*
 * src/gloo/mesh.cpp
 *
 * The mesh's thread: it meets the other members, hands their connections to Gloo, and runs tasks.
 *
 * Gloo of 2022, which Debian 12 has, listens with one socket for each pair and takes the first
 * connection that comes, whoever made it; bytes that are not of its protocol then end the process,
 * as it throws on a thread of its own. So strangers must never reach Gloo. AdoptedPair is a pair of
 * Gloo over a connection that the handshake has proven: the pair's own listening socket is closed
 * before anybody is let in, on the only thread that could accept from it, and an exception of a
 * pair ends the mesh instead of the process.
 *
 * The tag of a message covers its bytes and its number. What Gloo says before a message (its kind,
 * number and length) is in the clear, and a change there would only make both sides wait for what
 * never comes. But each pair knows what comes next: so that is compared as it arrives.
 */
#include <errno.h>
#include <malloc.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <openssl/crypto.h>

#include <functional>
#include <stdexcept>

#include <gloo/allreduce.h>
#include <gloo/math.h>
#include <gloo/transport/tcp/pair.h>

#include "mesh.h"

namespace tcp = gloo::transport::tcp;

namespace
{

constexpr Milliseconds kForEver = std::chrono::hours(1000); /* a wait ends by abort instead */

/* All signals but those of faults, which belong to the thread that caused them. */
void
block_signals(sigset_t *old)
{
	sigset_t blocked;

	sigfillset(&blocked);
	for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS})
		sigdelset(&blocked, fault);
	pthread_sigmask(SIG_SETMASK, &blocked, old);
}

} // namespace

/* A pair of Gloo over a connection that exists. Constructed on the loop's thread. */
class AdoptedPair final : public tcp::Pair
{
  public:
	AdoptedPair(LmMesh *mesh, tcp::Context *context, tcp::Device *device, int member, File file)
		: tcp::Pair(context, device, member, Milliseconds(0)), mesh_(mesh)
	{
		std::lock_guard<std::mutex> lock(m_);

		/* The base class has begun to listen. Closing removes the socket from the loop as well. */
		::close(fd_);
		fd_ = file.release();
		try
		{
			/* Throws where the peer has reset the connection. */
			handleConnected();
		}
		catch (const std::exception &)
		{
			/* The destructor would take the socket out of a loop that does not have it, and end. */
			::close(fd_);
			fd_ = -1;
			state_ = CLOSED;
			throw MeshFailure(member, format("the connection to member %d was closed", member));
		}
	}

	/*
	 * Gloo's loop skips a pair that another thread works on, and asks the kernel again at once: a
	 * core is kept busy for as long as a large message is copied to the socket. So it waits here
	 * first, but not for long, as that thread may wait for the loop's next turn.
	 */
	void handleEvents(int events) override
	{
		try
		{
			std::unique_lock<std::timed_mutex> lock(posting_, Milliseconds(2));

			if (lock)
				lock.unlock();
			tcp::Pair::handleEvents(events);
		}
		catch (const std::exception &caught)
		{
			mesh_->lost(rank_, caught.what());
		}
		catch (...)
		{
			mesh_->lost(rank_, "unknown exception");
		}
	}

	/* Held by the mesh's thread while it posts. */
	std::timed_mutex &posting()
	{
		return posting_;
	}

	/* On the mesh's thread: closes, and ends what waits for this pair. */
	void hang_up() noexcept
	{
		try
		{
			signalExceptionExternal("the mesh was closed");
		}
		catch (...)
		{
		}
	}

  protected:
	/*
	 * What Gloo says before a message is read here, and compared with what must come. On the loop's
	 * thread, the pair's lock held.
	 */
	bool read() override
	{
		char *at = reinterpret_cast<char *>(&rx_.preamble);

		while (state_ == CONNECTED && rx_.nread < sizeof rx_.preamble)
		{
			ssize_t n = ::recv(fd_, at + rx_.nread, sizeof rx_.preamble - rx_.nread, MSG_DONTWAIT);

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
				return false;
			if (n <= 0)
				break; /* Gloo sees that as well */
			rx_.nread += static_cast<size_t>(n);
			if (rx_.nread == sizeof rx_.preamble && !is_expected())
				throw std::runtime_error("its messages were altered");
		}
		return tcp::Pair::read();
	}

	void changeState(tcp::Pair::state next) noexcept override
	{
		bool is_lost = next == CLOSED && state_ == CONNECTED;

		tcp::Pair::changeState(next);
		if (is_lost)
			mesh_->lost(rank_, nullptr);
	}

  private:
	/* Messages have the numbers 0, 1, 2 ... in each direction, those of sums others (Gloo's). */
	bool is_expected()
	{
		const auto &next = rx_.preamble;
		size_t body = next.opcode == tcp::Op::SEND_UNBOUND_BUFFER ? next.length : 0;

		if (next.slot >> 56 != 0 && mesh_->has_sums())
			return true;
		if (next.nbytes != sizeof next + body || next.offset != 0 || next.roffset != 0)
			return false;
		switch (next.opcode)
		{
			case tcp::Op::SEND_UNBOUND_BUFFER:
				return next.slot == sent_++ && is_awaited(next.slot, next.length);
			case tcp::Op::NOTIFY_SEND_READY:
				return next.slot == announced_++;
			case tcp::Op::NOTIFY_RECV_READY:
				return next.slot == awaited_++;
			default:
				return false;
		}
	}

	bool is_awaited(uint64_t slot, size_t size) const
	{
		auto found = localPendingRecv_.find(slot);

		return found != localPendingRecv_.end() && !found->second.empty() &&
			   std::get<2>(found->second.front()) == size;
	}

	LmMesh *mesh_;
	std::timed_mutex posting_;
	uint64_t sent_ = 0; /* the next that the member sends, ... */
	uint64_t announced_ = 0; /* ... says that it will send, ... */
	uint64_t awaited_ = 0; /* ... and says that it waits for */
};

namespace
{

/* Runs a function once, on the thread of a device's loop. */
class LoopCall final : public tcp::Handler
{
  public:
	LoopCall(tcp::Device *device, std::function<void()> work)
		: event_(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)), work_(std::move(work))
	{
		if (event_.get() < 0)
			throw MeshFailure(-1, format("could not make an event: %s", strerror(errno)));
		device->registerDescriptor(event_.get(), EPOLLIN, this);
		{
			std::unique_lock<std::mutex> lock(mutex_);

			done_.wait(lock, [this] { return is_done_; });
		}
		device->unregisterDescriptor(event_.get(), this);
		if (caught_)
			std::rethrow_exception(caught_);
	}

	void handleEvents(int) override
	{
		uint64_t count;
		std::lock_guard<std::mutex> lock(mutex_);

		if (is_done_ || read(event_.get(), &count, sizeof count) < 0)
			return;
		try
		{
			work_();
		}
		catch (...)
		{
			caught_ = std::current_exception();
		}
		is_done_ = true;
		done_.notify_all();
	}

  private:
	File event_;
	std::function<void()> work_;
	std::mutex mutex_;
	std::condition_variable done_;
	bool is_done_ = false;
	std::exception_ptr caught_;
};

/* A context of Gloo's algorithms over a transport that exists. */
class SumContext final : public gloo::Context
{
  public:
	SumContext(int member, int members, std::shared_ptr<gloo::transport::Device> device,
			   std::shared_ptr<gloo::transport::Context> transport)
		: gloo::Context(member, members)
	{
		device_ = std::move(device);
		transportContext_ = std::move(transport);
		setTimeout(std::chrono::hours(1));
	}
};

} // namespace

LmMesh::LmMesh(const char *address)
	: event_(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
	if (event_.get() < 0 || wake_.get() < 0)
		throw MeshFailure(-1, format("could not make an event: %s", strerror(errno)));
	meeting_.listener = listen_at(address, &meeting_.own);
	text_ = meeting_.own.text();
	if (text_.size() >= LM_MESH_ADDRESS_SIZE)
		throw MeshFailure(-1, "the address is too long");
}

LmMesh::~LmMesh()
{
	{
		std::lock_guard<std::mutex> lock(mutex_);

		is_closing_ = true;
	}
	abort();
	if (thread_.joinable())
		thread_.join();
	OPENSSL_cleanse(meeting_.secret, sizeof meeting_.secret);
}

namespace
{

Address
address_of(int member, const char *text)
{
	try
	{
		return Address::look_up(text, true)[0];
	}
	catch (const MeshFailure &failure)
	{
		throw MeshFailure(member, failure.what());
	}
}

} // namespace

void
LmMesh::connect(const LmMeshPeers *peers)
{
	std::vector<Address> addresses;
	sigset_t old;

	if (thread_.joinable() || peers->members < 1 || peers->members > LM_MESH_MAX_MEMBERS ||
		peers->member < 0 || peers->member >= peers->members || peers->timeout_ms < 1)
		throw MeshFailure(-1, format("a mesh cannot be connected as member %d of %d", peers->member,
									 peers->members));
	for (int member = 0; member < peers->members; member++)
	{
		addresses.push_back(address_of(member, peers->addresses[member]));
		if (addresses.back().storage.ss_family != meeting_.own.storage.ss_family)
			throw MeshFailure(member, format("address \"%s\" of member %d is of another network",
											 addresses.back().text().c_str(), member));
	}
	meeting_.addresses = std::move(addresses);
	meeting_.member = peers->member;
	meeting_.members = peers->members;
	meeting_.epoch = peers->epoch;
	meeting_.timeout = Milliseconds(peers->timeout_ms);
	memcpy(meeting_.secret, peers->secret, sizeof meeting_.secret);
	meeting_.links.resize(meeting_.members);
	pairs_.resize(meeting_.members);
	become_busy();
	block_signals(&old);
	try
	{
		thread_ = std::thread(&LmMesh::run, this);
	}
	catch (const std::exception &)
	{
		pthread_sigmask(SIG_SETMASK, &old, nullptr);
		become_quiet(false);
		throw MeshFailure(-1, "could not start the mesh's thread");
	}
	pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

/* The thread may touch the memory of tasks from here on. */
void
LmMesh::become_busy()
{
	std::lock_guard<std::mutex> lock(mutex_);

	has_thread_ = true;
	is_quiet_ = false;
	set_event(false);
}

void
LmMesh::become_quiet(bool has_thread)
{
	std::lock_guard<std::mutex> lock(mutex_);

	has_thread_ = has_thread;
	tasks_.clear();
	is_quiet_ = true;
	set_event(true);
}

void
LmMesh::set_event(bool readable)
{
	uint64_t count = 1;
	ssize_t ignored;

	if (readable)
		ignored = write(event_.get(), &count, sizeof count);
	else
		ignored = read(event_.get(), &count, sizeof count);
	(void) ignored;
}

void
LmMesh::submit(LmMeshTask task, void *context)
{
	std::lock_guard<std::mutex> lock(mutex_);

	if (failed_.load())
		return;
	tasks_.push_back({task, context});
	is_quiet_ = false;
	set_event(false);
	changed_.notify_all();
}

LmMeshState
LmMesh::state(LmMeshError *error)
{
	std::lock_guard<std::mutex> lock(mutex_);

	if (!is_quiet_)
		return LM_MESH_BUSY;
	if (!failed_.load())
		return LM_MESH_IDLE;
	if (error)
		*error = error_;
	return LM_MESH_FAILED;
}

void
LmMesh::copy_error(LmMeshError *error)
{
	std::lock_guard<std::mutex> lock(mutex_);

	if (error)
		*error = error_;
}

void
LmMesh::abort()
{
	fail(-1, true, "aborted");
}

/* The first failure counts. */
void
LmMesh::fail(int member, bool is_aborted, const std::string &message)
{
	uint64_t count = 1;

	{
		std::lock_guard<std::mutex> lock(mutex_);

		if (!failed_.load())
		{
			error_.member = member;
			error_.is_aborted = is_aborted;
			snprintf(error_.message, sizeof error_.message, "%s", message.c_str());
			/* Without a thread there is nothing to wait for. */
			is_quiet_ = !has_thread_;
			set_event(is_quiet_);
			failed_.store(true);
		}
		changed_.notify_all();
	}
	/* A counter that is full wakes as well. */
	if (write(wake_.get(), &count, sizeof count) < 0)
		count = 0;
	wake_waiters();
}

void
LmMesh::lost(int member, const char *why)
{
	fail(member, false,
		 why ? format("the connection to member %d failed: %.150s", member, why)
			 : format("the connection to member %d was closed", member));
}

void
LmMesh::wake_waiters()
{
	std::lock_guard<std::mutex> lock(active_mutex_);

	for (Posted &posted : posted_)
	{
		posted.body->abortWaitRecv();
		posted.body->abortWaitSend();
		posted.seal->abortWaitRecv();
		posted.seal->abortWaitSend();
	}
}

/* The mesh's thread. */
void
LmMesh::run()
{
	try
	{
		meet(&meeting_, wake_.get(), failed_);
		adopt_all();
	}
	catch (const MeshFailure &failure)
	{
		fail(failure.member, false, failure.what());
	}
	catch (const std::exception &caught)
	{
		fail(-1, false, format("could not connect: %.200s", caught.what()));
	}
	for (;;)
	{
		Task task;

		{
			std::unique_lock<std::mutex> lock(mutex_);

			while (!is_closing_ && !failed_.load() && tasks_.empty())
			{
				is_quiet_ = true;
				set_event(true);
				changed_.wait(lock);
			}
			if (is_closing_ || failed_.load())
				break;
			task = tasks_.front();
			tasks_.pop_front();
		}
		run_task(task);
	}
	hang_up();
	become_quiet(true);
}

void
LmMesh::run_task(const Task &task)
{
	LmMeshError error = {-1, false, "a task failed without saying why", false};

	if (!task.function(gpt_gloo_collective(), this, task.context, &error))
		fail(error.member, error.is_aborted, error.message);
	forget_posted();
}

/* Closes everything of Gloo; the peers see closed connections. */
void
LmMesh::hang_up()
{
	for (AdoptedPair *pair : pairs_)
		if (pair)
			pair->hang_up();
	forget_posted();
	if (device_)
	{
		/* After a turn of the loop that began with all pairs closed, it does not touch them. */
		try
		{
			LoopCall(device_.get(), [] {});
		}
		catch (const std::exception &)
		{
		}
	}
	pairs_.clear();
	meeting_.links.clear();
	meeting_.listener.reset();
	sums_.reset();
	context_.reset();
	device_.reset();
}

/* The destructor of an unbound buffer waits until the loop's thread does not use it any more. */
void
LmMesh::forget_posted()
{
	std::list<Posted> gone;

	{
		std::lock_guard<std::mutex> lock(active_mutex_);

		gone.swap(posted_);
	}
}

/* Hands the proven connections to Gloo. */
void
LmMesh::adopt_all()
{
	struct tcp::attr attributes;
	char host[NI_MAXHOST];

	if (meeting_.members == 1)
		return;
	if (getnameinfo(meeting_.own.get(), meeting_.own.size, host, sizeof host, nullptr, 0,
					NI_NUMERICHOST) != 0)
		throw MeshFailure(-1, "the mesh's address has no number");
	attributes.hostname = host;
	device_ = std::static_pointer_cast<tcp::Device>(tcp::CreateDevice(attributes));
	context_ = std::make_shared<tcp::Context>(device_, meeting_.member, meeting_.members);
	context_->setTimeout(Milliseconds(0));
	LoopCall(device_.get(),
			 [this]
			 {
				 for (int member = 0; member < meeting_.members; member++)
				 {
					 size_t size;

					 if (member == meeting_.member)
						 continue;
					 /* The size of the library's own pairs tells whether its headers are these. */
					 size = malloc_usable_size(context_->createPair(member).get());
					 if (size < sizeof(tcp::Pair) || size >= sizeof(tcp::Pair) + 32)
						 throw MeshFailure(
							 -1, "libgloo does not fit the headers that this was built with");
					 /* It listens, too. */
					 context_->getPair(member).reset();
					 pairs_[member] = new AdoptedPair(this, context_.get(), device_.get(), member,
													  std::move(meeting_.links[member].file));
					 context_->getPair(member).reset(pairs_[member]);
				 }
			 });
	context_->setTimeout(kForEver);
}

void
LmMesh::post(bool is_receive, int member, uint32_t tag, void *data, size_t size)
{
	std::list<Posted> one(1);
	Posted &posted = one.front();
	Tagger *tagger;

	if (failed_.load())
		throw MeshFailure(-1, "the mesh has failed");
	if (member < 0 || member >= meeting_.members || member == meeting_.member || size == 0 || !data)
		throw MeshFailure(-1, format("a message of %zu bytes cannot go to member %d of %d", size,
									 member, meeting_.members));
	tagger =
		is_receive ? meeting_.links[member].receives.get() : meeting_.links[member].sends.get();
	posted.is_receive = is_receive;
	posted.member = member;
	posted.tag = tag;
	posted.number = tagger->next();
	posted.data = data;
	posted.size = size;
	posted.body = context_->createUnboundBuffer(data, size);
	posted.seal = context_->createUnboundBuffer(posted.mac, kMac);
	{
		std::lock_guard<std::mutex> lock(active_mutex_);

		posted_.splice(posted_.end(), one);
	}
	/* Either fail() finds the buffers in the list, or this sees that it has been there. */
	if (failed_.load())
		throw MeshFailure(-1, "the mesh has failed");
	try
	{
		begin(posted);
	}
	catch (const MeshFailure &)
	{
		throw;
	}
	catch (const std::exception &caught)
	{
		throw MeshFailure(
			member, format("the connection to member %d failed: %.150s", member, caught.what()));
	}
}

void
LmMesh::begin(Posted &posted)
{
	uint64_t slot = posted.number << 1;
	std::unique_lock<std::timed_mutex> lock(pairs_[posted.member]->posting());

	if (posted.is_receive)
	{
		posted.body->recv(posted.member, slot);
		posted.seal->recv(posted.member, slot | 1);
		received_ += posted.size;
		return;
	}
	/* Gloo sends while this computes. */
	posted.body->send(posted.member, slot);
	lock.unlock();
	meeting_.links[posted.member].sends->compute(posted.mac, posted.number, posted.tag, posted.data,
												 posted.size);
	posted.seal->send(posted.member, slot | 1);
	sent_ += posted.size;
}

/* Waits for one message and its tag; verifies what was received. */
void
LmMesh::finish(Posted &posted)
{
	uint8_t wanted[kMac];
	bool is_done;

	try
	{
		is_done = posted.is_receive
					  ? posted.body->waitRecv(kForEver) && posted.seal->waitRecv(kForEver)
					  : posted.body->waitSend(kForEver) && posted.seal->waitSend(kForEver);
	}
	catch (const std::exception &caught)
	{
		throw MeshFailure(posted.member, format("the connection to member %d failed: %.150s",
												posted.member, caught.what()));
	}
	if (!is_done)
		throw MeshFailure(-1, "the mesh has failed");
	if (!posted.is_receive)
		return;
	meeting_.links[posted.member].receives->compute(wanted, posted.number, posted.tag, posted.data,
													posted.size);
	if (CRYPTO_memcmp(wanted, posted.mac, kMac) != 0)
		throw MeshFailure(posted.member,
						  format("message %llu of member %d was altered",
								 static_cast<unsigned long long>(posted.number), posted.member));
}

void
LmMesh::wait()
{
	for (Posted &posted : posted_)
	{
		if (failed_.load())
			throw MeshFailure(-1, "the mesh has failed");
		finish(posted);
	}
	forget_posted();
}

void
LmMesh::allreduce(float *data, size_t n)
{
	if (meeting_.members == 1)
		return;
	if (!sums_)
	{
		/* Nobody sends a sum before all know that sums will come. */
		char token = 0;
		std::vector<char> tokens(meeting_.members);

		has_sums_.store(true);
		for (int member = 0; member < meeting_.members; member++)
		{
			if (member == meeting_.member)
				continue;
			post(true, member, 0, &tokens[member], 1);
			post(false, member, 0, &token, 1);
		}
		wait();
		sums_ = std::make_shared<SumContext>(meeting_.member, meeting_.members, device_, context_);
	}
	gloo::AllreduceOptions options(sums_);

	options.setOutput(data, n);
	options.setReduceFunction([](void *c, const void *a, const void *b, size_t count)
							  { gloo::sum<float>(c, a, b, count); });
	gloo::allreduce(options);
}
