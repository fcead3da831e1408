/*
 * src/gloo/address.h
 *
 * Files, addresses and failures of gpt_gloo.so. Inside it failures are exceptions, which none of
 * the functions that it exports lets out.
 */
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <vector>

/* A failure inside gpt_gloo.so: the member at fault, or -1. */
struct MeshFailure : std::runtime_error
{
	MeshFailure(int at, const std::string &text, bool taken = false)
		: std::runtime_error(text), member(at), is_taken(taken)
	{
	}
	int member;
	bool is_taken; /* the port is another socket's */
};

__attribute__((format(printf, 1, 2))) std::string format(const char *pattern, ...);

/* A file descriptor that is closed when it goes. */
class File
{
  public:
	explicit File(int file = -1) : file_(file)
	{
	}
	File(File &&other) noexcept : file_(other.release())
	{
	}
	File &operator=(File &&other) noexcept
	{
		reset(other.release());
		return *this;
	}
	~File()
	{
		reset();
	}
	int get() const
	{
		return file_;
	}
	int release()
	{
		int file = file_;

		file_ = -1;
		return file;
	}
	void reset(int file = -1)
	{
		if (file_ >= 0)
			::close(file_);
		file_ = file;
	}

  private:
	int file_;
};

/* An address of a socket. */
struct Address
{
	sockaddr_storage storage = {};
	socklen_t size = 0;

	const sockaddr *get() const
	{
		return reinterpret_cast<const sockaddr *>(&storage);
	}
	bool has_same_host(const Address &other) const;
	bool is_any() const;
	void set_port(uint16_t port);
	std::string text() const;
	static std::vector<Address> look_up(const std::string &text, bool numbers_only);
};

/* Binds to the first address of "HOST[:PORT]" that this machine has, and listens. */
File listen_at(const char *text, Address *own);
