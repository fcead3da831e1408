/*
 * src/gloo/handshake.h
 *
 * How the members of a mesh find and prove each other, before Gloo sees their connections.
 */
#pragma once

#include <openssl/evp.h>

#include <atomic>
#include <chrono>
#include <list>
#include <memory>

#include "address.h"
#include "engine/collective.h"

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr size_t kHash = 32; /* bytes of SHA-256, of a random number, of a key */
constexpr size_t kMac = 16; /* bytes of a message's tag */

/* Tags of the messages of one direction of a pair: AES-256-GMAC, numbered. */
class Tagger
{
  public:
	explicit Tagger(const uint8_t key[kHash]);
	Tagger(const Tagger &) = delete;
	Tagger &operator=(const Tagger &) = delete;
	~Tagger();
	/* The number of the next message. */
	uint64_t next()
	{
		return number_++;
	}
	void compute(uint8_t mac[kMac], uint64_t number, uint32_t tag, const void *data, size_t size);

  private:
	EVP_CIPHER_CTX *cipher_;
	uint64_t number_ = 0;
};

/* What the handshake has made of a member. */
struct Link
{
	File file;
	std::unique_ptr<Tagger> sends;
	std::unique_ptr<Tagger> receives;
};

/* What a handshake works on: a part of the mesh. */
struct Meeting
{
	Address own;
	File listener; /* closed when all have come */
	int member = 0;
	int members = 1;
	uint64_t epoch = 0;
	uint8_t secret[LM_MESH_SECRET_SIZE] = {};
	Milliseconds timeout{0};
	std::vector<Address> addresses;
	std::vector<Link> links; /* the result, by member */
	std::atomic<int64_t> refused{0};
};

/*
 * Connects with all members. is_stopping is asked whenever wake is readable. Throws MeshFailure,
 * with the member that is at fault or missing.
 */
void meet(Meeting *meeting, int wake, const std::atomic<bool> &is_stopping);
