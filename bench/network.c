/*
 * bench/network.c
 *
 * A network of machines with one switch between them, for measurements on one machine:
 *
 *   network RATE DELAY LOSS NAMESPACE...     megabits a second, milliseconds one way, share of
 * packets
 *
 * Each network namespace gets a TUN device "gpt0" with the address 10.77.0.1, .2 and so on. Packets
 * between them pass through this program, which holds each one until a full-duplex line of that
 * rate at the sender, the delay, and a line of that rate at the receiver would have carried it. The
 * kernel's own netem does the same; where the kernel lacks it, this program stands in. It runs
 * until SIGTERM or SIGINT and then prints, for each machine, what its lines carried and dropped.
 *
 * A line drops what would wait longer than QUEUE_SECONDS, or than a round trip, before it. With
 * LOSS 0 the kernel hands over up to 64 KiB of a connection at once, as to a card with segmentation
 * offload, and a line carries them as one piece; with losses, a packet is at most 1,500 bytes.
 *
 * What it cannot do: it takes processor time from those it serves (printed at the end), a packet is
 * late by what the scheduler and the timer take (some 50 microseconds), so a delay below 0.1 ms is
 * not kept, and packets never overtake each other.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "clock.h"

#define MAX_HOSTS 64
#define MAX_PACKET (sizeof(struct virtio_net_hdr) + 65536)
#define QUEUE_SECONDS 0.005
#define READS_AT_ONCE 16
#define FRAME_SIZE 38 /* Ethernet: preamble, header, checksum, gap */
#define HEADERS_SIZE 52 /* IP and TCP of each further segment */

typedef struct Packet
{
	struct Packet *next;
	double due;
	size_t size;
	char bytes[];
} Packet;

typedef struct Host
{
	int device;
	double out_until, in_until; /* until when its two lines are busy */
	Packet *first, *last; /* on their way to it, by the time of their arrival */
	double sent, received; /* bytes on the wire */
	long packets, dropped, lost;
} Host;

static Host hosts[MAX_HOSTS];
static int n_hosts;
static double bytes_per_second, delay, loss, queue_seconds;
static volatile sig_atomic_t stopped;

static void
stop(int signal_number)
{
	(void) signal_number;
	stopped = 1;
}

static void
fail(const char *what, const char *name)
{
	fprintf(stderr, "network: %s %s: %s\n", what, name, strerror(errno));
	exit(1);
}

static void
set_address(int socket, struct ifreq *request, const char *address, unsigned long what)
{
	struct sockaddr_in *place = (struct sockaddr_in *) &request->ifr_addr;

	memset(place, 0, sizeof *place);
	place->sin_family = AF_INET;
	inet_pton(AF_INET, address, &place->sin_addr);
	if (ioctl(socket, what, request) != 0)
		fail("address", address);
}

/* The device stays usable from here after the process has gone on to another namespace. */
static int
open_device(const char *name, int number)
{
	char path[256], address[32];
	int space, device, socket_, header_size = sizeof(struct virtio_net_hdr);
	struct ifreq request = {.ifr_name = "gpt0"};

	snprintf(path, sizeof path, "/run/netns/%s", name);
	if ((space = open(path, O_RDONLY | O_CLOEXEC)) < 0 || setns(space, CLONE_NEWNET) != 0)
		fail("namespace", name);
	close(space);
	if ((device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0)
		fail("open", "/dev/net/tun");
	request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(device, TUNSETIFF, &request) != 0 ||
		ioctl(device, TUNSETVNETHDRSZ, &header_size) != 0 ||
		ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | (loss > 0 ? 0 : TUN_F_TSO4)) != 0)
		fail("device in", name);
	if ((socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
		fail("socket in", name);
	snprintf(address, sizeof address, "10.77.0.%d", number + 1);
	set_address(socket_, &request, address, SIOCSIFADDR);
	set_address(socket_, &request, "255.255.255.0", SIOCSIFNETMASK);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(socket_, SIOCSIFFLAGS, &request) != 0)
		fail("up", name);
	close(socket_);
	return device;
}

/* Bytes on the wire of a packet that the card cuts into segments. */
static double
wire_size(const char *bytes, size_t size)
{
	const struct virtio_net_hdr *header = (const struct virtio_net_hdr *) bytes;
	size_t payload = size - sizeof *header, segments = 1;

	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE && header->gso_size > 0)
		segments = (payload + header->gso_size - 1) / header->gso_size;
	return payload + (segments - 1) * (double) HEADERS_SIZE + segments * (double) FRAME_SIZE;
}

/* The machine that an IPv4 packet goes to, or -1. */
static int
destination(const char *bytes, size_t size)
{
	const unsigned char *packet = (const unsigned char *) bytes + sizeof(struct virtio_net_hdr);

	if (size < sizeof(struct virtio_net_hdr) + 20 || packet[0] >> 4 != 4 || packet[16] != 10 ||
		packet[17] != 77 || packet[18] != 0 || packet[19] < 1 || packet[19] > n_hosts)
		return -1;
	return packet[19] - 1;
}

static void
carry(Host *from, const char *bytes, size_t size, double now)
{
	int number = destination(bytes, size);
	Host *to = &hosts[number < 0 ? 0 : number];
	double wire, out, in;
	Packet *packet;

	if (number < 0)
		return;
	wire = wire_size(bytes, size);
	out = (from->out_until > now ? from->out_until : now) + wire / bytes_per_second;
	in = to->in_until + wire / bytes_per_second;
	if (in < out + delay)
		in = out + delay;
	if (out - now > queue_seconds + wire / bytes_per_second ||
		in - (out + delay) > queue_seconds + wire / bytes_per_second)
	{
		from->dropped++;
		return;
	}
	from->out_until = out;
	from->sent += wire;
	from->packets++;
	if (loss > 0 && drand48() < loss)
	{
		from->lost++;
		return;
	}
	to->in_until = in;
	to->received += wire;
	if ((packet = malloc(sizeof *packet + size)) == NULL)
		fail("memory", "");
	packet->next = NULL;
	packet->due = in;
	packet->size = size;
	memcpy(packet->bytes, bytes, size);
	if (to->last)
		to->last->next = packet;
	else
		to->first = packet;
	to->last = packet;
}

/* Hands over what has arrived; false: the device is full, to be tried again soon. */
static bool
deliver(Host *host, double now)
{
	while (host->first && host->first->due <= now)
	{
		Packet *packet = host->first;

		if (write(host->device, packet->bytes, packet->size) < 0 && errno == EAGAIN)
			return false;
		host->first = packet->next;
		if (!host->first)
			host->last = NULL;
		free(packet);
	}
	return true;
}

static void
run(void)
{
	static char buffer[MAX_PACKET];
	struct pollfd polls[MAX_HOSTS];

	for (int i = 0; i < n_hosts; i++)
		polls[i] = (struct pollfd){.fd = hosts[i].device, .events = POLLIN};
	while (!stopped)
	{
		double now = wall_seconds(), next = now + 1;
		struct timespec wait;

		for (int i = 0; i < n_hosts; i++)
		{
			if (!deliver(&hosts[i], now))
				next = now + 50e-6;
			else if (hosts[i].first && hosts[i].first->due < next)
				next = hosts[i].first->due;
		}
		now = wall_seconds();
		wait.tv_sec = 0;
		wait.tv_nsec = next > now ? (long) ((next - now) * 1e9) % 1000000000 : 0;
		if (ppoll(polls, n_hosts, &wait, NULL) <= 0)
			continue;
		now = wall_seconds();
		for (int i = 0; i < n_hosts; i++)
		{
			if (!(polls[i].revents & POLLIN))
				continue;
			for (int k = 0; k < READS_AT_ONCE; k++)
			{
				ssize_t size = read(hosts[i].device, buffer, sizeof buffer);

				if (size <= 0)
					break;
				carry(&hosts[i], buffer, size, now);
			}
		}
	}
}

static void
print_totals(double began)
{
	for (int i = 0; i < n_hosts; i++)
		printf("10.77.0.%d sent %.0f received %.0f packets %ld dropped %ld lost %ld\n", i + 1,
			   hosts[i].sent, hosts[i].received, hosts[i].packets, hosts[i].dropped, hosts[i].lost);
	printf("processor %.3f s of %.3f s\n", processor_seconds(), wall_seconds() - began);
}

int
main(int argc, char **argv)
{
	double began = wall_seconds();
	struct sched_param priority = {.sched_priority = 1};

	if (argc < 5 || argc - 4 > MAX_HOSTS)
	{
		fprintf(stderr, "usage: network MBIT_PER_SECOND DELAY_MS LOSS NAMESPACE...\n");
		return 2;
	}
	bytes_per_second = atof(argv[1]) * 1e6 / 8;
	delay = atof(argv[2]) / 1e3;
	loss = atof(argv[3]);
	queue_seconds = 2 * delay > QUEUE_SECONDS ? 2 * delay : QUEUE_SECONDS;
	n_hosts = argc - 4;
	for (int i = 0; i < n_hosts; i++)
		hosts[i].device = open_device(argv[4 + i], i);
	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	prctl(PR_SET_TIMERSLACK, 1);
	sched_setscheduler(0, SCHED_FIFO, &priority); /* best effort: late packets look like delay */
	printf("ready\n");
	fflush(stdout);
	run();
	print_totals(began);
	return 0;
}
