/*
 * src/gloo/handshake.cpp
 *
 * The connections of a mesh, made and proven. Nobody is trusted before the proof: a connection has
 * a fixed size of bytes to send, a fixed time, and a place among few.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include "handshake.h"

namespace
{

constexpr int kSpareShakes = 16; /* connections beside the members' that may be unproven at once */
constexpr Milliseconds kShakeTime{3000}; /* for the proof of one connection */
constexpr Milliseconds kRetryTime{50};

/* HMAC-SHA256 of a label and some bytes under the secret (RFC 2104). */
void
prove(uint8_t result[kHash], const uint8_t *secret, const char *label, const uint8_t *data,
	  size_t size)
{
	std::vector<uint8_t> text(label, label + strlen(label));
	unsigned int length = 0;

	text.insert(text.end(), data, data + size);
	if (!HMAC(EVP_sha256(), secret, LM_MESH_SECRET_SIZE, text.data(), text.size(), result,
			  &length) ||
		length != kHash)
		throw MeshFailure(-1, "could not compute HMAC-SHA256");
}

void
draw(uint8_t *bytes, size_t size)
{
	if (getrandom(bytes, size, 0) != static_cast<ssize_t>(size))
		throw MeshFailure(-1, "could not get random numbers");
}

} // namespace

Tagger::Tagger(const uint8_t key[kHash]) : cipher_(EVP_CIPHER_CTX_new())
{
	if (!cipher_ || EVP_EncryptInit_ex(cipher_, EVP_aes_256_gcm(), nullptr, key, nullptr) != 1)
	{
		EVP_CIPHER_CTX_free(cipher_);
		throw MeshFailure(-1, "could not start AES-256-GCM");
	}
}

Tagger::~Tagger()
{
	EVP_CIPHER_CTX_free(cipher_);
}

void
Tagger::compute(uint8_t mac[kMac], uint64_t number, uint32_t tag, const void *data, size_t size)
{
	uint8_t nonce[12] = {}, head[20];
	uint64_t wide = size;
	auto bytes = static_cast<const uint8_t *>(data);
	int length;
	bool fine;

	memcpy(nonce + 4, &number, 8);
	memcpy(head, &number, 8);
	memcpy(head + 8, &wide, 8);
	memcpy(head + 16, &tag, 4);
	fine = EVP_EncryptInit_ex(cipher_, nullptr, nullptr, nullptr, nonce) == 1 &&
		   EVP_EncryptUpdate(cipher_, nullptr, &length, head, sizeof head) == 1;
	for (size_t at = 0; fine && at < size; at += length)
	{
		length = static_cast<int>(std::min(size - at, size_t(1) << 30));
		fine = EVP_EncryptUpdate(cipher_, nullptr, &length, bytes + at, length) == 1;
	}
	if (!fine || EVP_EncryptFinal_ex(cipher_, nonce, &length) != 1 ||
		EVP_CIPHER_CTX_ctrl(cipher_, EVP_CTRL_GCM_GET_TAG, kMac, mac) != 1)
		throw MeshFailure(-1, "could not compute a message's tag");
}

namespace
{

/*
 * How members find and prove each other. The member of the higher number connects:
 *
 *   hello   "gptmesh1", epoch, from, to, members, 0, random number      64 bytes
 *   answer  random number, HMAC("server" hello random)                  64 bytes
 *   proof   HMAC("client" hello random)                                 32 bytes
 *   ready   HMAC("ready " hello random)                                 32 bytes
 *
 * Each side's random number is part of what the other proves, so that nothing of an earlier
 * handshake is of use; the labels keep an answer from serving as a proof. Whoever does not go on
 * within kShakeTime is closed, and of too many the oldest.
 */
class MeshHandshake
{
  public:
	MeshHandshake(Meeting *meeting, int wake, const std::atomic<bool> &is_stopping)
		: mesh_(meeting), wake_(wake), is_stopping_(is_stopping),
		  deadline_(Clock::now() + meeting->timeout)
	{
		waiting_.resize(mesh_->members);
		for (int member = 0; member < mesh_->member; member++)
			waiting_[member] = Clock::now();
	}
	void run();

  private:
	enum Step
	{
		CONNECTING,
		ANSWER,
		READY,
		HELLO,
		PROOF
	};
	struct Hello
	{
		char magic[8];
		uint64_t epoch;
		uint32_t from, to, members, zero;
		uint8_t random[kHash];
	};
	struct Shake
	{
		File file;
		Step step;
		int member; /* -1 before its hello */
		Clock::time_point deadline;
		size_t have = 0;
		uint8_t in[64] = {};
		/* hello and the server's random number: what proofs are about */
		uint8_t about[sizeof(Hello) + kHash] = {};
	};
	using Iterator = std::list<Shake>::iterator;

	void start_due();
	void start(int member);
	void accept_all();
	bool is_of_member(const Address &from) const;
	void drop(Iterator shake, const char *why);
	void drop_late();
	bool go_on(Iterator shake);
	bool receive(Shake &shake, size_t size);
	bool send(Shake &shake, const void *data, size_t size);
	bool send_hello(Shake &shake);
	bool take_answer(Shake &shake);
	bool take_hello(Shake &shake);
	bool take_proof(Shake &shake);
	bool take_ready(Shake &shake);
	void finish(Shake &shake);
	int missing() const;
	int next_timeout() const;

	static_assert(sizeof(Hello) == 64, "the hello has 64 bytes");

	Meeting *mesh_;
	int wake_;
	const std::atomic<bool> &is_stopping_;
	Clock::time_point deadline_;
	std::list<Shake> shakes_;
	std::vector<Clock::time_point> waiting_; /* when to connect to lower members; max: under way */
	std::string last_; /* why the last connection was closed */
};

void
MeshHandshake::run()
{
	int member;

	while ((member = missing()) >= 0)
	{
		std::vector<pollfd> files;
		std::vector<Iterator> shakes;

		if (is_stopping_.load())
			throw MeshFailure(-1, "aborted");
		if (Clock::now() >= deadline_)
			throw MeshFailure(member, format("member %d did not connect within %lld ms%s%s", member,
											 static_cast<long long>(mesh_->timeout.count()),
											 last_.empty() ? "" : ": ", last_.c_str()));
		start_due();
		drop_late();
		files.push_back({wake_, POLLIN, 0});
		files.push_back({mesh_->listener.get(), POLLIN, 0});
		for (Iterator shake = shakes_.begin(); shake != shakes_.end(); ++shake)
		{
			short events = shake->step == CONNECTING ? POLLOUT : POLLIN;

			files.push_back({shake->file.get(), events, 0});
			shakes.push_back(shake);
		}
		if (poll(files.data(), files.size(), next_timeout()) < 0 && errno != EINTR)
			throw MeshFailure(-1, format("could not poll: %s", strerror(errno)));
		for (size_t i = 0; i < shakes.size(); i++)
			if (files[i + 2].revents && !go_on(shakes[i]))
				shakes_.erase(shakes[i]);
		if (files[1].revents)
			accept_all();
	}
	/* From here on nobody else gets in. */
	mesh_->listener.reset();
}

/* The first member without a link, -1 when all have one. */
int
MeshHandshake::missing() const
{
	for (int member = 0; member < mesh_->members; member++)
		if (member != mesh_->member && mesh_->links[member].file.get() < 0)
			return member;
	return -1;
}

int
MeshHandshake::next_timeout() const
{
	Clock::time_point next = deadline_;
	long long left;

	for (const Shake &shake : shakes_)
		next = std::min(next, shake.deadline);
	for (int member = 0; member < mesh_->member; member++)
		next = std::min(next, waiting_[member]);
	left = std::chrono::duration_cast<Milliseconds>(next - Clock::now()).count() + 1;
	return static_cast<int>(std::max(0LL, std::min(left, 1000LL)));
}

void
MeshHandshake::start_due()
{
	for (int member = 0; member < mesh_->member; member++)
		if (waiting_[member] <= Clock::now())
			start(member);
}

void
MeshHandshake::start(int member)
{
	Address from = mesh_->own;
	const Address &to = mesh_->addresses[member];
	Shake shake;

	shake.file.reset(socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	shake.step = CONNECTING;
	shake.member = member;
	shake.deadline = Clock::now() + kShakeTime;
	from.set_port(0);
	waiting_[member] = Clock::now() + kRetryTime;
	if (shake.file.get() < 0 || bind(shake.file.get(), from.get(), from.size) < 0 ||
		(::connect(shake.file.get(), to.get(), to.size) < 0 && errno != EINPROGRESS))
	{
		last_ = format("could not connect to %s: %s", to.text().c_str(), strerror(errno));
		return;
	}
	waiting_[member] = Clock::time_point::max();
	shakes_.push_back(std::move(shake));
}

/* Whether a connection comes from where a member is. */
bool
MeshHandshake::is_of_member(const Address &from) const
{
	for (int member = mesh_->member + 1; member < mesh_->members; member++)
		if (from.has_same_host(mesh_->addresses[member]))
			return true;
	return false;
}

void
MeshHandshake::accept_all()
{
	for (int n = 0; n < LM_MESH_MAX_MEMBERS; n++)
	{
		Address from;
		Shake shake;
		size_t unproven = 0;

		from.size = sizeof from.storage;
		shake.file.reset(accept4(mesh_->listener.get(), reinterpret_cast<sockaddr *>(&from.storage),
								 &from.size, SOCK_CLOEXEC | SOCK_NONBLOCK));
		if (shake.file.get() < 0)
		{
			/* Whoever waits in the queue would wake poll at once, again and again. */
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				throw MeshFailure(-1, format("could not accept a connection: %s", strerror(errno)));
			return;
		}
		if (!is_of_member(from))
		{
			mesh_->refused++;
			continue;
		}
		for (const Shake &other : shakes_)
			unproven += other.step == HELLO || other.step == PROOF;
		if (unproven >= static_cast<size_t>(mesh_->members + kSpareShakes))
			for (Iterator oldest = shakes_.begin(); oldest != shakes_.end(); ++oldest)
				if (oldest->step == HELLO || oldest->step == PROOF)
				{
					mesh_->refused++;
					shakes_.erase(oldest);
					break;
				}
		shake.step = HELLO;
		shake.member = -1;
		shake.deadline = Clock::now() + kShakeTime;
		shakes_.push_back(std::move(shake));
	}
}

void
MeshHandshake::drop_late()
{
	for (Iterator shake = shakes_.begin(); shake != shakes_.end();)
	{
		Iterator next = std::next(shake);

		if (shake->deadline <= Clock::now())
		{
			drop(shake, "it did not answer");
			shakes_.erase(shake);
		}
		shake = next;
	}
}

/* Notes that a connection ends without success; the caller erases it. */
void
MeshHandshake::drop(Iterator shake, const char *why)
{
	if (shake->step == HELLO || shake->step == PROOF)
		mesh_->refused++;
	else
	{
		waiting_[shake->member] = Clock::now() + kRetryTime;
		last_ = format("%s: %s", mesh_->addresses[shake->member].text().c_str(), why);
	}
}

/* Takes the next step of a connection; false when it is to be erased: finished, or dropped. */
bool
MeshHandshake::go_on(Iterator shake)
{
	static const size_t sizes[] = {0, 64, 32, 64, 32};
	int code = 0;
	socklen_t size = sizeof code;
	bool fine = true;

	if (shake->step == CONNECTING)
	{
		getsockopt(shake->file.get(), SOL_SOCKET, SO_ERROR, &code, &size);
		fine = code == 0 && send_hello(*shake);
		if (!fine)
			drop(shake, code ? strerror(code) : "it was closed");
		return fine;
	}
	if (!receive(*shake, sizes[shake->step]))
	{
		drop(shake, "it was closed");
		return false;
	}
	if (shake->have < sizes[shake->step])
		return true;
	shake->have = 0;
	switch (shake->step)
	{
		case ANSWER:
			fine = take_answer(*shake);
			break;
		case HELLO:
			fine = take_hello(*shake);
			break;
		case PROOF:
			fine = take_proof(*shake);
			break;
		default:
			fine = take_ready(*shake);
			break;
	}
	if (!fine)
		drop(shake, "it was refused");
	return fine && shake->file.get() >= 0;
}

/* Reads no byte more than the step has: what follows is Gloo's. False when closed. */
bool
MeshHandshake::receive(Shake &shake, size_t size)
{
	ssize_t n = recv(shake.file.get(), shake.in + shake.have, size - shake.have, 0);

	if (n > 0)
		shake.have += static_cast<size_t>(n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* The buffers of a new socket hold a whole handshake. */
bool
MeshHandshake::send(Shake &shake, const void *data, size_t size)
{
	return ::send(shake.file.get(), data, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}

bool
MeshHandshake::send_hello(Shake &shake)
{
	Hello hello = {};

	memcpy(hello.magic, "gptmesh1", 8);
	hello.epoch = mesh_->epoch;
	hello.from = static_cast<uint32_t>(mesh_->member);
	hello.to = static_cast<uint32_t>(shake.member);
	hello.members = static_cast<uint32_t>(mesh_->members);
	draw(hello.random, kHash);
	memcpy(shake.about, &hello, sizeof hello);
	shake.step = ANSWER;
	return send(shake, &hello, sizeof hello);
}

bool
MeshHandshake::take_hello(Shake &shake)
{
	Hello hello;
	uint8_t answer[2 * kHash];
	uint32_t members = static_cast<uint32_t>(mesh_->members);

	memcpy(&hello, shake.in, sizeof hello);
	if (memcmp(hello.magic, "gptmesh1", 8) != 0 || hello.epoch != mesh_->epoch ||
		hello.members != members || hello.to != static_cast<uint32_t>(mesh_->member) ||
		hello.from <= hello.to || hello.from >= members || hello.zero != 0)
		return false;
	shake.member = static_cast<int>(hello.from);
	draw(answer, kHash);
	memcpy(shake.about, &hello, sizeof hello);
	memcpy(shake.about + sizeof hello, answer, kHash);
	prove(answer + kHash, mesh_->secret, "server", shake.about, sizeof shake.about);
	shake.step = PROOF;
	return send(shake, answer, sizeof answer);
}

bool
MeshHandshake::take_answer(Shake &shake)
{
	uint8_t wanted[kHash], proof[kHash];

	memcpy(shake.about + sizeof(Hello), shake.in, kHash);
	prove(wanted, mesh_->secret, "server", shake.about, sizeof shake.about);
	if (CRYPTO_memcmp(wanted, shake.in + kHash, kHash) != 0)
		throw MeshFailure(shake.member,
						  format("member %d does not have the secret of this job", shake.member));
	prove(proof, mesh_->secret, "client", shake.about, sizeof shake.about);
	shake.step = READY;
	return send(shake, proof, sizeof proof);
}

bool
MeshHandshake::take_proof(Shake &shake)
{
	uint8_t wanted[kHash], ready[kHash];

	prove(wanted, mesh_->secret, "client", shake.about, sizeof shake.about);
	if (CRYPTO_memcmp(wanted, shake.in, kHash) != 0)
		return false;
	/* A member that comes again has not seen the first connection succeed. */
	prove(ready, mesh_->secret, "ready ", shake.about, sizeof shake.about);
	if (!send(shake, ready, sizeof ready))
		return false;
	finish(shake);
	return true;
}

bool
MeshHandshake::take_ready(Shake &shake)
{
	uint8_t wanted[kHash];

	prove(wanted, mesh_->secret, "ready ", shake.about, sizeof shake.about);
	if (CRYPTO_memcmp(wanted, shake.in, kHash) != 0)
		return false;
	finish(shake);
	return true;
}

/* Moves a proven connection to the mesh's links. */
void
MeshHandshake::finish(Shake &shake)
{
	Link &link = mesh_->links[shake.member];
	bool is_client = shake.step == READY;
	uint8_t client[kHash], server[kHash];
	int on = 1, idle = 5, interval = 1, count = 4;

	prove(client, mesh_->secret, "key of client", shake.about, sizeof shake.about);
	prove(server, mesh_->secret, "key of server", shake.about, sizeof shake.about);
	link.sends.reset(new Tagger(is_client ? client : server));
	link.receives.reset(new Tagger(is_client ? server : client));
	OPENSSL_cleanse(client, sizeof client);
	OPENSSL_cleanse(server, sizeof server);
	/* A machine that is gone answers nothing, not even that it closed. */
	setsockopt(shake.file.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(shake.file.get(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(shake.file.get(), IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
	setsockopt(shake.file.get(), IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
	link.file = std::move(shake.file);
}

} // namespace

void
meet(Meeting *meeting, int wake, const std::atomic<bool> &is_stopping)
{
	MeshHandshake(meeting, wake, is_stopping).run();
}
