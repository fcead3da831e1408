/*
 * test/unit/test_collective.c
 *
 * The gradient channel: members are processes of their own on 127.0.0.1, and this one is their
 * judge, who deals out addresses, kills, stops, and plays the stranger. Skipped where gpt_gloo.so
 * was not built.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/collective.h"
#include "tap.h"

#define MOST 4
#define N 300001 /* bytes of a message: no round number */

/*
 * Time-outs, and what is soon beside them: a machine that does other things too may keep a process
 * waiting for a second or two. A short time-out is one that a test waits for; what has to happen
 * before it takes some milliseconds.
 */
#define LONG_MS 20000
#define SHORT_MS 2000
#define SOON 5.0

static const LmCollective *gloo;

/* What a member is to do. */
typedef struct Plan
{
	int members;
	int timeout_ms;
	int wrong_secret_of; /* -1: of none */
	int waits_for_nothing; /* this member posts no message, the others wait for it; -1: none */
	bool repeats; /* exchanges for ever */
	int abort_after_ms; /* 0: never */
	bool lacks_files; /* member 0 can open no other one */
	const char *host;
} Plan;

/* How a member ended. */
typedef struct Outcome
{
	LmMeshState state;
	LmMeshError error;
	bool are_right; /* all messages as wanted */
	double seconds; /* from the last task's submission, or of connecting, to the end */
	int64_t refused;
	bool stops_quickly; /* close ended soon */
} Outcome;

typedef struct Member
{
	pid_t process;
	int to;
	int from;
	char address[LM_MESH_ADDRESS_SIZE];
} Member;

typedef struct Exchange
{
	unsigned char *out;
	unsigned char *in[MOST];
	bool are_right;
	bool is_silent;
	bool repeats;
} Exchange;

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + 1e-9 * (double) time.tv_nsec;
}

static void
read_all(int file, void *data, size_t size)
{
	for (size_t have = 0; have < size;)
	{
		ssize_t n = read(file, (char *) data + have, size - have);

		if (n <= 0)
			_exit(3);
		have += (size_t) n;
	}
}

static void
write_all(int file, const void *data, size_t size)
{
	if (write(file, data, size) != (ssize_t) size)
		_exit(3);
}

/* Byte i of the message from one member to another. */
static unsigned char
byte_of(int from, int to, size_t i)
{
	return (unsigned char) (i * 31 + (size_t) from * 7 + (size_t) to * 3 + (i >> 9));
}

static bool
exchange_once(const LmCollective *collective, LmMesh *mesh, Exchange *exchange, LmMeshError *error)
{
	int member = collective->member(mesh), members = collective->members(mesh);

	for (int other = 0; other < members; other++)
	{
		unsigned char *out = exchange->out + (size_t) other * N;

		if (other == member)
			continue;
		for (size_t i = 0; i < N; i++)
			out[i] = byte_of(member, other, i);
		if (!collective->receive(mesh, other, 7, exchange->in[other], N, error) ||
			!collective->send(mesh, other, 7, out, N, error))
			return false;
	}
	if (!collective->wait(mesh, error))
		return false;
	for (int other = 0; other < members; other++)
		for (size_t i = 0; other != member && i < N; i++)
			if (exchange->in[other][i] != byte_of(other, member, i))
				exchange->are_right = false;
	return true;
}

static bool
exchange_task(const LmCollective *collective, LmMesh *mesh, void *context, LmMeshError *error)
{
	Exchange *exchange = context;

	exchange->are_right = true;
	if (exchange->is_silent)
	{
		while (!collective->is_stopping(mesh))
			poll(NULL, 0, 1);
		return false;
	}
	do
	{
		if (!exchange_once(collective, mesh, exchange, error))
			return false;
	} while (exchange->repeats);
	return true;
}

/* Sleeps as a server's main thread does, until the mesh is not busy. */
static LmMeshState
await(LmMesh *mesh, const Plan *plan, LmMeshError *error)
{
	struct pollfd file = {gloo->event_file(mesh), POLLIN, 0};
	double start = now();
	bool is_aborted = false;
	LmMeshState state;

	while ((state = gloo->state(mesh, error)) == LM_MESH_BUSY)
	{
		poll(&file, 1, 20);
		if (plan->abort_after_ms && !is_aborted && (now() - start) * 1000 > plan->abort_after_ms)
		{
			gloo->abort(mesh);
			is_aborted = true;
			start = now();
		}
	}
	return state;
}

static void
open_no_more(void)
{
	int next = dup(0);
	struct rlimit limit = {(rlim_t) next, (rlim_t) next};

	close(next);
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* A member's process: says its address, hears all, exchanges, says how it ended. */
static void
be_member(int member, const Plan *plan, int in, int out)
{
	char texts[MOST][LM_MESH_ADDRESS_SIZE];
	const char *addresses[MOST];
	uint8_t secret[LM_MESH_SECRET_SIZE] = "only the members have this one.";
	Outcome outcome = {.are_right = false};
	Exchange exchange = {.is_silent = plan->waits_for_nothing == member, .repeats = plan->repeats};
	LmMeshPeers peers = {member, plan->members, addresses, secret, 5, plan->timeout_ms};
	LmMesh *mesh = gloo->open(plan->host, &outcome.error);
	double start;

	/* Nothing hangs, and nobody outlives the judge. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(60);
	if (!mesh)
		_exit(4);
	snprintf(texts[0], sizeof texts[0], "%s", gloo->address(mesh));
	write_all(out, texts[0], sizeof texts[0]);
	read_all(in, texts, sizeof texts[0] * (size_t) plan->members);
	for (int i = 0; i < plan->members; i++)
		addresses[i] = texts[i];
	if (plan->wrong_secret_of == member)
		secret[31] ^= 1;
	exchange.out = malloc((size_t) plan->members * N);
	for (int i = 0; i < plan->members; i++)
		exchange.in[i] = malloc(N);
	if (plan->lacks_files && member == 0)
		open_no_more();
	start = now();
	if (!gloo->connect(mesh, &peers, &outcome.error) ||
		!gloo->submit(mesh, exchange_task, &exchange) ||
		!gloo->submit(mesh, exchange_task, &exchange))
		_exit(5);
	outcome.state = await(mesh, plan, &outcome.error);
	outcome.seconds = now() - start;
	outcome.are_right = exchange.are_right && outcome.state == LM_MESH_IDLE;
	outcome.refused = gloo->refused(mesh);
	write_all(out, &outcome, offsetof(Outcome, stops_quickly));
	/* Nobody closes before all have finished. */
	read_all(in, &outcome.stops_quickly, 1);
	start = now();
	gloo->close(mesh);
	outcome.stops_quickly = now() - start < SOON;
	write_all(out, &outcome.stops_quickly, sizeof outcome.stops_quickly);
	for (int i = 0; i < plan->members; i++)
		free(exchange.in[i]);
	free(exchange.out);
	_exit(0);
}

static void
start_members(Member *members, const Plan *plan)
{
	for (int i = 0; i < plan->members; i++)
	{
		int down[2], up[2];

		if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0)
			exit(2);
		members[i].process = fork();
		if (members[i].process == 0)
		{
			for (int j = 0; j < i; j++)
			{
				close(members[j].to);
				close(members[j].from);
			}
			be_member(i, plan, down[0], up[1]);
		}
		close(down[0]);
		close(up[1]);
		members[i].to = down[1];
		members[i].from = up[0];
		read_all(members[i].from, members[i].address, sizeof members[i].address);
	}
}

/* Says all addresses to one member, another one instead of member 0's if there is one. */
static void
introduce_one(const Member *to, const Member *members, const Plan *plan, const char *instead_of_0)
{
	for (int j = 0; j < plan->members; j++)
		write_all(to->to, j == 0 && instead_of_0 ? instead_of_0 : members[j].address,
				  sizeof to->address);
}

static void
introduce(const Member *members, const Plan *plan)
{
	for (int i = 0; i < plan->members; i++)
		introduce_one(&members[i], members, plan, NULL);
}

static void
start_meeting(Member *members, const Plan *plan)
{
	start_members(members, plan);
	introduce(members, plan);
}

/* Members 0 and 1, with somebody at an address between them; member 2 is not introduced yet. */
static void
start_with_relay(Member *members, const Plan *plan, const char *address)
{
	start_members(members, plan);
	introduce_one(&members[0], members, plan, NULL);
	introduce_one(&members[1], members, plan, address);
}

static void
hear(const Member *member, Outcome *outcome)
{
	read_all(member->from, outcome, offsetof(Outcome, stops_quickly));
}

static void
dismiss(Member *member, Outcome *outcome)
{
	int status = -1;

	write_all(member->to, "", 1);
	read_all(member->from, &outcome->stops_quickly, sizeof outcome->stops_quickly);
	waitpid(member->process, &status, 0);
	if (status != 0)
		outcome->stops_quickly = false;
	close(member->to);
	close(member->from);
}

static void
hear_all(Member *members, const Plan *plan, Outcome *outcomes)
{
	for (int i = 0; i < plan->members; i++)
		hear(&members[i], &outcomes[i]);
	for (int i = 0; i < plan->members; i++)
		dismiss(&members[i], &outcomes[i]);
}

static Plan
plan_of(int members)
{
	return (Plan){.members = members,
				  .timeout_ms = LONG_MS,
				  .wrong_secret_of = -1,
				  .waits_for_nothing = -1,
				  .host = "127.0.0.1"};
}

/* A TCP connection to "127.0.0.1:PORT", from another address of the machine if wanted. */
static int
call(const char *address, const char *from)
{
	struct sockaddr_in to = {.sin_family = AF_INET}, own = {.sin_family = AF_INET};
	int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, from, &own.sin_addr);
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	to.sin_port = htons((uint16_t) atoi(strchr(address, ':') + 1));
	if (bind(file, (struct sockaddr *) &own, sizeof own) != 0 ||
		connect(file, (struct sockaddr *) &to, sizeof to) != 0)
	{
		close(file);
		return -1;
	}
	return file;
}

static void
test_exchange(void)
{
	for (int n = 1; n <= MOST; n++)
	{
		Plan plan = plan_of(n);
		Member members[MOST];
		Outcome outcomes[MOST];
		int right = 0, quick = 0;

		start_meeting(members, &plan);
		hear_all(members, &plan, outcomes);
		for (int i = 0; i < n; i++)
		{
			right += outcomes[i].are_right;
			quick += outcomes[i].stops_quickly;
			if (!outcomes[i].are_right)
				printf("# member %d: state %d, %s\n", i, outcomes[i].state,
					   outcomes[i].error.message);
		}
		ok(right == n, "each of %d members gets what each other has sent", n);
		ok(quick == n, "%d meshes close soon", n);
	}
}

/* Other names and families. */
static void
test_names(void)
{
	static const char *const hosts[] = {"localhost", "::1"};

	for (int i = 0; i < 2; i++)
	{
		Plan plan = plan_of(2);
		Member members[MOST];
		Outcome outcomes[MOST];
		LmMeshError error;
		LmMesh *mesh = gloo->open(hosts[i], &error);

		gloo->close(mesh);
		if (!mesh)
		{
			skip("a mesh of that name", error.message);
			continue;
		}
		plan.host = hosts[i];
		start_meeting(members, &plan);
		hear_all(members, &plan, outcomes);
		ok(outcomes[0].are_right && outcomes[1].are_right, "members meet at %s", hosts[i]);
		if (!outcomes[0].are_right)
			printf("# %s\n", outcomes[0].error.message);
	}
}

static void
test_wrong_secret(void)
{
	Plan plan = plan_of(2);
	Member members[MOST];
	Outcome outcomes[MOST];

	plan.wrong_secret_of = 1;
	plan.timeout_ms = SHORT_MS;
	start_meeting(members, &plan);
	hear_all(members, &plan, outcomes);
	ok(outcomes[1].state == LM_MESH_FAILED && outcomes[1].error.member == 0 &&
		   strstr(outcomes[1].error.message, "member 0 does not have the secret of this job"),
	   "a member with another secret is told so, and by whom");
	ok(outcomes[0].state == LM_MESH_FAILED && outcomes[0].error.member == 1 &&
		   strstr(outcomes[0].error.message, "member 1 did not connect within 2000 ms"),
	   "the others say who did not come");
	if (tap_failed)
		printf("# %s; %s\n", outcomes[0].error.message, outcomes[1].error.message);
}

static void
test_no_files(void)
{
	Plan plan = plan_of(2);
	Member members[MOST];
	Outcome outcomes[MOST] = {{.stops_quickly = false}};

	plan.lacks_files = true;
	start_members(members, &plan);
	introduce(members, &plan);
	hear_all(members, &plan, outcomes);
	ok(strstr(outcomes[0].error.message, "could not accept a connection: "),
	   "a member that may open no more files says so: %s", outcomes[0].error.message);
}

static void
test_killed(void)
{
	Plan plan = plan_of(3);
	Member members[MOST];
	Outcome outcomes[MOST] = {{.stops_quickly = false}};
	double start;

	plan.waits_for_nothing = 2;
	start_meeting(members, &plan);
	poll(NULL, 0, 150); /* however far they are, the rest must notice */
	start = now();
	kill(members[2].process, SIGKILL);
	hear(&members[0], &outcomes[0]);
	hear(&members[1], &outcomes[1]);
	start = now() - start;
	for (int i = 0; i < 2; i++)
	{
		ok(outcomes[i].state == LM_MESH_FAILED && !outcomes[i].error.is_aborted &&
			   strstr(outcomes[i].error.message, "member "),
		   "member %d fails when another is killed: %s", i, outcomes[i].error.message);
		dismiss(&members[i], &outcomes[i]);
	}
	ok(outcomes[0].error.member == 2 || outcomes[1].error.member == 2, "who it was is named");
	ok(start < SOON, "they notice soon");
	printf("# after %.3f s\n", start);
	waitpid(members[2].process, NULL, 0);
}

/* Killed while messages travel, at whatever point: TRIALS in the environment tries more points. */
static void
test_killed_anywhere(void)
{
	int n_trials = getenv("TRIALS") ? atoi(getenv("TRIALS")) : 5, n_good = 0;
	double longest = 0;

	for (int trial = 0; trial < n_trials; trial++)
	{
		Plan plan = plan_of(3);
		Member members[MOST];
		Outcome outcomes[MOST] = {{.stops_quickly = false}};
		double start;
		bool is_good = true;

		plan.repeats = true;
		plan.timeout_ms = 500; /* of those who have not met */
		start_meeting(members, &plan);
		usleep((useconds_t) (trial * 7919 % 50000));
		start = now();
		kill(members[1].process, SIGKILL);
		hear(&members[0], &outcomes[0]);
		hear(&members[2], &outcomes[2]);
		longest = fmax(longest, now() - start);
		for (int i = 0; i < 3; i += 2)
		{
			dismiss(&members[i], &outcomes[i]);
			is_good = is_good && outcomes[i].state == LM_MESH_FAILED && outcomes[i].stops_quickly;
		}
		n_good += is_good;
		waitpid(members[1].process, NULL, 0);
		close(members[1].to);
		close(members[1].from);
	}
	ok(n_good == n_trials, "%d times a member is killed anywhere, and the rest ends well",
	   n_trials);
	printf("# after %.3f s at most\n", longest);
}

static void
test_stopped(void)
{
	Plan plan = plan_of(2);
	Member members[MOST];
	Outcome outcomes[MOST];

	plan.waits_for_nothing = 1;
	plan.abort_after_ms = 300;
	start_meeting(members, &plan);
	poll(NULL, 0, 100);
	kill(members[1].process, SIGSTOP);
	hear(&members[0], &outcomes[0]);
	dismiss(&members[0], &outcomes[0]);
	ok(outcomes[0].state == LM_MESH_FAILED && outcomes[0].error.is_aborted,
	   "a member that waits for one that has stopped can be aborted");
	ok(outcomes[0].stops_quickly, "and closes soon");
	kill(members[1].process, SIGKILL);
	waitpid(members[1].process, NULL, 0);
}

/* Strangers come before the members do: they are closed, and nothing else happens. */
static void
test_strangers(void)
{
	Plan plan = plan_of(2);
	Member members[MOST];
	Outcome outcomes[MOST];
	unsigned char junk[4096];
	int silent[60], port_closed;

	memset(junk, 0xff, sizeof junk);
	start_members(members, &plan);
	for (int i = 0; i < 60; i++)
	{
		silent[i] = call(members[0].address, "127.0.0.1");
		/* Nothing, huge lengths, half a hello, a hello of another epoch, an HTTP request. */
		if (i % 5 == 1)
			(void) !send(silent[i], junk, sizeof junk, MSG_NOSIGNAL);
		if (i % 5 == 2)
			(void) !send(silent[i], "gptmesh1", 8, MSG_NOSIGNAL);
		if (i % 5 == 3)
		{
			memset(junk, 0, 64);
			memcpy(junk, "gptmesh1\6", 9);
			(void) !send(silent[i], junk, 64, MSG_NOSIGNAL);
			memset(junk, 0xff, 64);
		}
		if (i % 5 == 4)
			(void) !send(silent[i], "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
	}
	/* Another address than the members': closed without a byte read. */
	close(call(members[0].address, "127.0.0.9"));
	introduce(members, &plan);
	hear(&members[0], &outcomes[0]);
	hear(&members[1], &outcomes[1]);
	port_closed = call(members[0].address, "127.0.0.1");
	dismiss(&members[0], &outcomes[0]);
	dismiss(&members[1], &outcomes[1]);
	ok(outcomes[0].are_right && outcomes[1].are_right,
	   "60 strangers with and without bytes do not keep two members apart");
	ok(outcomes[0].refused >= 40, "they are counted");
	if (outcomes[0].refused < 40)
		printf("# %lld\n", (long long) outcomes[0].refused);
	ok(port_closed < 0, "a mesh that has met listens no more");
	for (int i = 0; i < 60; i++)
		close(silent[i]);
}

/*
 * Carries bytes between member 1 and member 0, changes some bits of one that member 1 sends, and
 * keeps its first; until one of them closes, or both have said how they ended.
 */
static void
relay(int listener, const Member *members, size_t alter_at, const char *masks, unsigned char *kept,
	  size_t kept_size)
{
	struct pollfd files[4] = {{0}};
	size_t carried = 0;
	int ends[2];
	static char bytes[65536];

	ends[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ends[1] = call(members[0].address, "127.0.0.1");
	for (;;)
	{
		for (int i = 0; i < 2; i++)
		{
			files[i] = (struct pollfd){ends[i], POLLIN, 0};
			files[i + 2] = (struct pollfd){members[i].from, POLLIN, 0};
		}
		poll(files, 4, files[2].revents || files[3].revents ? 50 : 10000);
		if (!files[0].revents && !files[1].revents && files[2].revents && files[3].revents)
		{
			close(ends[0]);
			close(ends[1]);
			return;
		}
		for (int i = 0; i < 2; i++)
		{
			ssize_t n;

			if (!files[i].revents)
				continue;
			n = recv(ends[i], bytes, sizeof bytes, 0);
			if (n <= 0)
			{
				close(ends[0]);
				close(ends[1]);
				return;
			}
			if (i == 0)
			{
				if (carried < kept_size)
					memcpy(kept + carried, bytes,
						   (size_t) n < kept_size - carried ? (size_t) n : kept_size - carried);
				for (size_t at = alter_at; masks && masks[at - alter_at]; at++)
					if (carried <= at && at < carried + (size_t) n)
						bytes[at - carried] ^= masks[at - alter_at] & 0x7f;
				carried += (size_t) n;
			}
			send(ends[1 - i], bytes, (size_t) n, MSG_NOSIGNAL);
		}
	}
}

static int
listen_somewhere(char *address)
{
	struct sockaddr_in own = {.sin_family = AF_INET};
	socklen_t size = sizeof own;
	int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "127.0.0.1", &own.sin_addr);
	bind(file, (struct sockaddr *) &own, sizeof own);
	listen(file, 4);
	getsockname(file, (struct sockaddr *) &own, &size);
	snprintf(address, LM_MESH_ADDRESS_SIZE, "127.0.0.1:%d", ntohs(own.sin_port));
	return file;
}

/*
 * Somebody on the way changes a byte of a message, or of what Gloo says about it.
 */
static void
test_altered(size_t at, const char *masks, const char *what)
{
	Plan plan = plan_of(2);
	Member members[MOST];
	Outcome outcomes[MOST];
	char own[LM_MESH_ADDRESS_SIZE];
	int listener = listen_somewhere(own);
	bool is_noticed = false;

	plan.abort_after_ms = 5000;
	start_with_relay(members, &plan, own);
	relay(listener, members, at, masks, NULL, 0);
	close(listener);
	hear_all(members, &plan, outcomes);
	for (int i = 0; i < 2; i++)
		if (outcomes[i].state == LM_MESH_FAILED && outcomes[i].error.member == 1 - i)
			is_noticed = true;
	ok(is_noticed && !(outcomes[0].are_right && outcomes[1].are_right), "%s: %s; %s", what,
	   outcomes[0].error.message, outcomes[1].error.message);
	ok(outcomes[0].stops_quickly && outcomes[1].stops_quickly, "both processes live and close");
}

/* Carries so many bytes; exits where there are fewer. */
static void
carry(int from, int to, size_t size)
{
	char bytes[64];

	read_all(from, bytes, size);
	write_all(to, bytes, size);
}

/* A connection that is reset after its proof, while others are still awaited. */
static void
test_reset_early(void)
{
	Plan plan = plan_of(3);
	Member members[MOST];
	Outcome outcomes[MOST];
	char own[LM_MESH_ADDRESS_SIZE], ready[32];
	int listener = listen_somewhere(own), from, to;
	struct linger at_once = {1, 0};

	plan.timeout_ms = SHORT_MS;
	start_with_relay(members, &plan, own);
	from = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	to = call(members[0].address, "127.0.0.1");
	carry(from, to, 64);
	carry(to, from, 64);
	carry(from, to, 32);
	read_all(to, ready, sizeof ready);
	setsockopt(to, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	close(to);
	introduce_one(&members[2], members, &plan, NULL);
	hear_all(members, &plan, outcomes);
	ok(outcomes[0].state == LM_MESH_FAILED && outcomes[0].error.member == 1,
	   "a member that is gone before all have met is named: %s", outcomes[0].error.message);
	ok(outcomes[0].stops_quickly, "and the process lives");
	close(from);
	close(listener);
}

/* What a member has sent once does not prove another connection. */
static void
test_replay(void)
{
	Plan plan = plan_of(2);
	Member members[MOST];
	Outcome outcomes[MOST];
	unsigned char kept[96];
	char own[LM_MESH_ADDRESS_SIZE], answer[64];
	int listener = listen_somewhere(own), file, n;

	plan.waits_for_nothing = 1;
	plan.abort_after_ms = 300;
	start_with_relay(members, &plan, own);
	relay(listener, members, SIZE_MAX, NULL, kept, sizeof kept);
	close(listener);
	hear_all(members, &plan, outcomes);

	plan = plan_of(2);
	plan.timeout_ms = SHORT_MS;
	start_members(members, &plan);
	file = call(members[0].address, "127.0.0.1");
	introduce_one(&members[0], members, &plan, NULL);
	(void) !send(file, kept, sizeof kept, MSG_NOSIGNAL);
	hear(&members[0], &outcomes[0]);
	n = (int) recv(file, answer, sizeof answer, MSG_WAITALL);
	ok(n == 64 && recv(file, answer, 1, 0) <= 0 && outcomes[0].state == LM_MESH_FAILED &&
		   outcomes[0].refused == 1,
	   "a handshake that is sent again is refused");
	close(file);
	dismiss(&members[0], &outcomes[0]);
	kill(members[1].process, SIGKILL);
	waitpid(members[1].process, NULL, 0);
}

static void
test_addresses(void)
{
	static const char *const wrong[] = {
		"",
		"0.0.0.0",
		"::",
		"[::]:0",
		"[::ffff:0.0.0.0]",
		"256.1.1.1",
		"192.0.2.1",
		"127.0.0.1:99999",
		"127.0.0.1:x",
		"127.0.0.1:-1",
		"127.0.0.1: 5",
		"127.0.0.1:",
		"[127.0.0.1",
		"no such host",
	};
	const char *addresses[] = {"127.0.0.1:1", "localhost:2"};
	uint8_t secret[LM_MESH_SECRET_SIZE] = {0};
	LmMeshPeers peers = {0, 2, addresses, secret, 1, 1000};
	LmMeshError error;
	LmMesh *mesh;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
	{
		memset(&error, 0, sizeof error);
		mesh = gloo->open(wrong[i], &error);
		ok(!mesh && error.message[0], "no mesh at \"%s\": %s", wrong[i], error.message);
		gloo->close(mesh);
	}
	mesh = gloo->open("127.0.0.1", &error);
	ok(!gloo->connect(mesh, &peers, &error) && error.member == 1,
	   "the member whose address is none is named: %s", error.message);
	gloo->close(mesh);
	gloo->close(gloo->open("\xc3\xa4xn\r\n", &error));
	ok(strstr(error.message, "\"??xn??\""), "other bytes than letters are shown as ?: %s",
	   error.message);
	mesh = gloo->open("127.0.0.1", &error);
	ok(mesh && strncmp(gloo->address(mesh), "127.0.0.1:", 10) == 0, "the address has its port");
	ok(gloo->state(mesh, &error) == LM_MESH_IDLE, "a mesh that is open is idle");
	gloo->abort(mesh);
	ok(gloo->state(mesh, &error) == LM_MESH_FAILED && error.is_aborted, "and fails when aborted");
	gloo->close(mesh);
}

static bool
no_task(const LmCollective *collective, LmMesh *mesh, void *context, LmMeshError *error)
{
	return true;
}

/* A mesh of one member: what its owner sees of its life. */
static void
test_life(void)
{
	const char *addresses[] = {"127.0.0.1"};
	uint8_t secret[LM_MESH_SECRET_SIZE] = {0};
	LmMeshPeers none = {0, 0, addresses, secret, 1, 1000};
	LmMeshPeers alone = {0, 1, addresses, secret, 1, 1000};
	Plan plan = {0};
	LmMeshError error;
	LmMesh *mesh = gloo->open("127.0.0.1", &error);
	struct pollfd event = {gloo->event_file(mesh), POLLIN, 0};
	bool is_early = false;

	ok(!gloo->connect(mesh, &none, &error), "a mesh of no members is not connected");
	ok(gloo->connect(mesh, &alone, &error) && gloo->submit(mesh, no_task, NULL) &&
		   await(mesh, &plan, &error) == LM_MESH_IDLE,
	   "after that it connects as it should");
	gloo->abort(mesh);
	while (gloo->state(mesh, NULL) == LM_MESH_BUSY)
		is_early |= poll(&event, 1, 0) > 0 && gloo->state(mesh, NULL) == LM_MESH_BUSY;
	ok(!is_early, "the file of an idle mesh that is aborted is not readable before its end");
	gloo->close(mesh);

	mesh = gloo->open("127.0.0.1", &error);
	ok(gloo->submit(mesh, no_task, NULL) && gloo->state(mesh, NULL) == LM_MESH_BUSY,
	   "a task waits for the connection");
	gloo->abort(mesh);
	ok(gloo->state(mesh, NULL) == LM_MESH_FAILED, "it does not once the mesh is aborted");
	gloo->close(mesh);
}

/* Loads the library that lies beside this program. */
static const LmCollective *
load(void)
{
	char path[PATH_MAX + 20];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	void *library;
	LmCollectiveEntry entry;

	if (n <= 0)
		return NULL;
	path[n] = 0;
	snprintf(strrchr(path, '/') + 1, 20, "gpt_gloo.so");
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library)
	{
		printf("# %s\n", dlerror());
		return NULL;
	}
	entry = (LmCollectiveEntry) dlsym(library, LM_COLLECTIVE_SYMBOL);
	return entry ? entry() : NULL;
}

int
main(void)
{
	alarm(100);
	gloo = load();
	if (!gloo)
	{
		skip("the gradient channel", "gpt_gloo.so is not built");
		return done_testing();
	}
	is_int(gloo->version, LM_COLLECTIVE_VERSION, "the version is the header's");
	test_addresses();
	test_life();
	test_exchange();
	test_names();
	test_wrong_secret();
	test_no_files();
	test_killed();
	test_killed_anywhere();
	test_stopped();
	test_strangers();
	/*
	 * Member 1 sends 96 bytes of handshake, then what Gloo says: size, kind, slot, each of 8 bytes.
	 * Bits of \x80 keep a mask from ending; they change nothing.
	 */
	test_altered(10000, "\1", "a bit of a message is changed");
	test_altered(96 + 8, "\2\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x40",
				 "a notice becomes a message that nobody waits for");
	test_altered(96 + 8, "\3", "a notice becomes a message of another kind");
	test_altered(96 + 16, "\1", "the number of a message is changed");
	test_altered(96, "\1", "the size of a message is changed");
	test_reset_early();
	test_replay();
	return done_testing();
}
