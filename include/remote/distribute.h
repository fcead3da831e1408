/*
 * include/remote/distribute.h
 *
 * A version of a model on its way to another server: its facts (a JSON object) and its bytes, those
 * of tokenizer.json and then those of the weights file.
 *
 *   facts   what a version is and what calls depend on: name, number, run, configuration, hashes
 * and sizes, task, losses, statistics for search, base, type of image, whether it is current.
 *           Nothing of rows, queries, options, reports or jobs travels.
 *
 * The sender calls two functions of the extension there, in one transaction: gpt_distribute_take
 * asks whether the version is there; if not, gpt_distribute_put takes the bytes in pieces, and
 * gpt_distribute_take publishes them. The receiver believes nothing: it parses the configuration
 * and the tokenizer as those of any file, checks each tensor against the configuration, and
 * compares both hashes. So what a role sends is at most a model of its own.
 */
#ifndef GPT_REMOTE_DISTRIBUTE_H
#define GPT_REMOTE_DISTRIBUTE_H

#include "remote/connection.h"
#include "store/catalog.h"

#define GPT_DISTRIBUTE_PIECE (4 * 1024 * 1024) /* bytes that the sender sends at once */
#define GPT_DISTRIBUTE_MOST (16 * 1024 * 1024) /* that the receiver takes at once */

/*
 * Sends a version to the server, in a transaction there, unless it has it. Returns the bytes that
 * were sent; 0: it had them. Errors: those of the other server, and ERRCODE_DATA_CORRUPTED if the
 * weights here are not those of the catalog; then nothing is published there. Checks no privilege.
 */
extern int64 gpt_distribute_send(GptRemote *remote, const GptVersion *version);

/*
 * Appends bytes to what this transaction has received; offset 0 begins anew, another one must be
 * where the last piece ended. They are in a temporary file, which the end of the transaction
 * removes.
 */
extern void gpt_distribute_put_bytes(int64 offset, const void *bytes, size_t size);

/*
 * The version that the facts describe: if the model has it, makes it current where the facts say
 * so, and returns its number. Else, if bytes were received, publishes it under the same number, as
 * the current role; if none were, returns 0. Errors: facts or bytes are not valid, or differ from
 * the hashes (class 22); the model has another version of that number, or a later one; those of
 * gpt_catalog_publish.
 */
extern int32 gpt_distribute_take_version(Datum facts);

#endif /* GPT_REMOTE_DISTRIBUTE_H */
