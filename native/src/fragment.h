/* fragment.h - virtual reassembly: fragments wait until their datagram is whole, and leave with its verdict. */
#ifndef SIXTUPLE_FRAGMENT_H
#define SIXTUPLE_FRAGMENT_H

#include "packet.h"

struct engine;
struct fragments;
struct verdict;

enum { FRAGMENT_TIMEOUT_S = 30 }; /* as Linux for IPv4; half of what RFC 8200 4.5 allows at most */

uint64_t fragments_bytes(const struct engine_params *params);
void fragments_init(struct engine *e);

/* The tag of a whole datagram: verdicts on it are given to its fragments (fragment_release). Edges have no such tags. */
enum { DATAGRAM_SHIFT = 63 };
static inline bool is_datagram(uint64_t tag)
{
    return tag >> DATAGRAM_SHIFT;
}

/* Takes a parsed fragment. 0, or the drop reason of this fragment; others that go with it have their verdicts then. Where it
 * completes its datagram, *whole has the reassembled packet (unparsed: data, len) with its tag; it stays until the next
 * fragment_add. *whole.len is 0 else. */
struct datagram {
    uint8_t *data;
    uint32_t len;
    uint64_t tag;
    uint16_t port, egress; /* of the fragments, as are the others */
    uint8_t mac[6];
    bool is_broadcast, is_reframed;
    uint32_t fragments, bytes; /* what it came as */
};
uint32_t fragment_add(struct engine *e, const struct packet *p, uint64_t tag, struct datagram *whole);
/* Replaces the verdict on a datagram, the last one in the list, by one for each of its fragments; what was changed in the
 * datagram is changed in them. */
void fragment_release(struct engine *e);
/* Fragments whose verdicts were taken two calls ago are free; called by engine_verdicts. Room in the list of verdicts is there
 * for every fragment that waits (engine.c). */
void fragment_verdicts_taken(struct engine *e);
void fragment_expire(struct engine *e);
void fragment_stats(const struct engine *e, uint32_t *held, uint32_t *bytes);
int64_t fragment_next_ns(const struct engine *e);

#endif
