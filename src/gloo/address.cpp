/*
 * src/gloo/address.cpp
 *
 * "HOST:PORT" to addresses of sockets and back, and the socket that a mesh listens on.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"

std::string
format(const char *pattern, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, pattern);
	vsnprintf(text, sizeof text, pattern, arguments);
	va_end(arguments);
	return text;
}

namespace
{

/* The beginning of a text that may be anything, for a message that becomes text of a server. */
std::string
shown(const std::string &text)
{
	std::string result = text.substr(0, 100);

	for (char &one : result)
		if (one < ' ' || one > '~')
			one = '?';
	return result;
}

const void *
host_bytes(const sockaddr_storage &storage, size_t *size)
{
	if (storage.ss_family == AF_INET)
	{
		*size = sizeof(in_addr);
		return &reinterpret_cast<const sockaddr_in &>(storage).sin_addr;
	}
	*size = sizeof(in6_addr);
	return &reinterpret_cast<const sockaddr_in6 &>(storage).sin6_addr;
}

} // namespace

bool
Address::has_same_host(const Address &other) const
{
	size_t n;
	const void *mine = host_bytes(storage, &n), *others = host_bytes(other.storage, &n);

	return storage.ss_family == other.storage.ss_family && memcmp(mine, others, n) == 0;
}

/* Of IPv6 also ::ffff:0.0.0.0, which listens at all addresses of IPv4. */
bool
Address::is_any() const
{
	static const unsigned char zeros[sizeof(in6_addr)] = {};
	size_t n;
	auto host = static_cast<const unsigned char *>(host_bytes(storage, &n));

	if (n == sizeof(in6_addr) && IN6_IS_ADDR_V4MAPPED(reinterpret_cast<const in6_addr *>(host)))
		return memcmp(host + 12, zeros, sizeof(in_addr)) == 0;
	return memcmp(host, zeros, n) == 0;
}

void
Address::set_port(uint16_t port)
{
	if (storage.ss_family == AF_INET)
		reinterpret_cast<sockaddr_in &>(storage).sin_port = htons(port);
	else
		reinterpret_cast<sockaddr_in6 &>(storage).sin6_port = htons(port);
}

std::string
Address::text() const
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getnameinfo(get(), size, host, sizeof host, port, sizeof port,
					NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return "?";
	return storage.ss_family == AF_INET6 ? format("[%s]:%s", host, port)
										 : format("%s:%s", host, port);
}

/* "HOST", "HOST:PORT", "[IPV6]", "[IPV6]:PORT" or "IPV6". Throws MeshFailure. */
std::vector<Address>
Address::look_up(const std::string &text, bool numbers_only)
{
	std::string host = text, port = "0";
	size_t colon = text.rfind(':'), bracket = text.rfind(']');
	addrinfo hints = {}, *found = nullptr;
	std::vector<Address> result;
	int code;

	if (!text.empty() && text[0] == '[' && bracket != std::string::npos)
	{
		host = text.substr(1, bracket - 1);
		if (bracket + 1 < text.size())
			port = text[bracket + 1] == ':' ? text.substr(bracket + 2) : "?";
	}
	else if (colon != std::string::npos && text.find(':') == colon)
	{
		host = text.substr(0, colon);
		port = text.substr(colon + 1);
	}
	/* getaddrinfo skips blanks, and takes the rest of a division for a port that is too large. */
	if (port.empty() || port.size() > 5 ||
		port.find_first_not_of("0123456789") != std::string::npos || atoi(port.c_str()) > 65535)
		port = "?";
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICSERV | (numbers_only ? AI_NUMERICHOST : 0);
	code = host.empty() ? EAI_NONAME : getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
	if (code != 0)
		throw MeshFailure(
			-1, format("address \"%s\" is not valid: %s", shown(text).c_str(), gai_strerror(code)));
	for (addrinfo *one = found; one; one = one->ai_next)
		if (one->ai_family == AF_INET || one->ai_family == AF_INET6)
		{
			Address address;

			memcpy(&address.storage, one->ai_addr, one->ai_addrlen);
			address.size = one->ai_addrlen;
			result.push_back(address);
		}
	freeaddrinfo(found);
	if (result.empty())
		throw MeshFailure(-1, format("address \"%s\" is of no IP network", shown(text).c_str()));
	return result;
}

/* Binds and listens; the first address of the name that this machine has. */
File
listen_at(const char *text, Address *own)
{
	int code = 0;

	for (const Address &address : Address::look_up(text, false))
	{
		File file(socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
		int on = 1;

		if (address.is_any())
			throw MeshFailure(
				-1, format("address \"%s\" stands for all interfaces", shown(text).c_str()));
		setsockopt(file.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		own->size = sizeof own->storage;
		if (file.get() >= 0 && bind(file.get(), address.get(), address.size) == 0 &&
			listen(file.get(), 128) == 0 &&
			getsockname(file.get(), reinterpret_cast<sockaddr *>(&own->storage), &own->size) == 0)
			return file;
		code = errno;
	}
	throw MeshFailure(-1,
					  format("could not listen at \"%s\": %s", shown(text).c_str(), strerror(code)),
					  code == EADDRINUSE);
}
