/*
 * state.h - the engine's memory: one mapped region, its records linked by index.
 *
 *     struct engine | buckets | sessions | undecided | held | verdicts | events | held buffers
 *
 * A flow is named by a *reference*: slot * 2 + direction. Slots 1..max_sessions are sessions, the ones
 * above are undecided packets, so that one lookup finds either. Reference 0 is nothing.
 *
 * Who links what: a session's `link` fields belong to the flow table (overflow chains), `ager_*` to the
 * ager while the session lives and to the free list while it does not.
 */
#ifndef SIXTUPLE_STATE_H
#define SIXTUPLE_STATE_H

#include <pthread.h>

#include "engine.h"
#include "fib.h"
#include "packet.h"

enum { NONE = 0 };

/* ---- flow table: one cache line a bucket -------------------------------------------------------- */

enum { BUCKET_SLOTS = 7 };

struct bucket {
    uint32_t tag[BUCKET_SLOTS]; /* upper half of the hash */
    uint32_t overflow;          /* head of the chain of flows that found the bucket full */
    uint32_t ref[BUCKET_SLOTS]; /* 0: empty */
    uint32_t unused;
};

/* ---- ager: a timing wheel of four levels -------------------------------------------------------- */

enum { WHEEL_LEVELS = 4, WHEEL_BITS = 8, WHEEL_SLOTS = 1 << WHEEL_BITS, TICK_SHIFT = 26 /* 67 ms */ };

struct ager {
    uint64_t now_tick;
    uint64_t occupied[WHEEL_LEVELS][WHEEL_SLOTS / 64];
    uint32_t head[WHEEL_LEVELS][WHEEL_SLOTS];
    uint32_t count;
};

/* ---- records ------------------------------------------------------------------------------------- */

/* Three cache lines. */
struct session {
    struct flow_key key[2];
    int64_t expires_ns; /* ended sessions: when they ended */
    uint32_t timeout_s;
    uint32_t link[2];
    uint16_t port[2];
    uint16_t ager_slot; /* level * WHEEL_SLOTS + slot */
    uint8_t state, tcp_state, end_reason, action, flags;
    bool in_ager;
    uint64_t ager_tick; /* when the ager looks at it; the true end may be later */
    uint64_t packets[2], bytes[2];
    int64_t start_ns, last_ns;
    uint32_t ager_next, ager_prev; /* slots */
    uint32_t rule, application;
} __attribute__((aligned(64)));

struct undecided_slot {
    struct flow_key key;
    uint32_t link;
    uint32_t prev, next;  /* index + 1: outstanding, oldest first; free list */
    uint32_t first, last; /* index + 1 into held: the packet and what is parked behind it */
    int64_t deadline_ns;
    uint16_t generation;
    uint16_t held_count;
    bool outstanding;
};

enum { HELD_BYTES = (LONGEST_PACKET + 63) / 64 * 64 }; /* a buffer */

struct held {
    struct packet packet;
    uint64_t tag;
    uint32_t next; /* index + 1: of the undecided slot, of the free list, of the list to free */
    uint16_t port;
};

struct engine {
    /* Taken in this order by every call from outside. `gate` keeps the turns fair: a thread that leaves and
     * comes back at once finds the one that was waiting before it. */
    pthread_mutex_t gate, inside;
    struct engine_params params;
    uint64_t region_bytes;
    int64_t now_ns;
    uint64_t hash_key[2];

    struct engine_config config; /* ports and local point to `tables` */
    void *tables;
    const struct fib *fib; /* NULL: sessions go where they went */

    struct bucket *buckets;
    uint64_t bucket_mask;
    struct session *sessions; /* [max_sessions + 1] */
    uint32_t fresh;           /* slots above have never been used */
    uint32_t free_head, free_tail, free_count;
    struct ager ager;

    struct undecided_slot *undecided;
    uint32_t undecided_free, undecided_first, undecided_last, undecided_unseen; /* index + 1 */
    uint32_t undecided_count;
    struct held *held;
    uint8_t *held_data;
    uint32_t held_free;  /* index + 1 */
    uint32_t held_done;  /* the verdict is reached */
    uint32_t held_taken; /* the verdict is taken, the buffer still in use */
    uint32_t held_count; /* not free */
    uint32_t held_over;  /* of these: done or taken */

    struct verdict *verdicts;       /* being filled */
    struct verdict *verdicts_taken; /* in the hands of whoever called engine_verdicts */
    uint32_t verdict_count;
    uint32_t verdict_limit; /* of packets taken; as many again as can be held may follow from answers */
    struct event *events;
    uint32_t event_head, event_tail; /* free running */

    uint64_t counters[COUNTER_LIMIT];
    struct engine_stats stats;
};

static inline void engine_enter(struct engine *e)
{
    pthread_mutex_lock(&e->gate);
    pthread_mutex_lock(&e->inside);
    pthread_mutex_unlock(&e->gate);
}

static inline void engine_leave(struct engine *e)
{
    pthread_mutex_unlock(&e->inside);
}

/* Runs the timers up to now. */
void engine_advance(struct engine *e, int64_t now_ns);

static inline void count(struct engine *e, enum counter counter)
{
    e->counters[counter]++;
}

/* ---- flow_table.c -------------------------------------------------------------------------------- */

uint64_t flow_table_buckets(const struct engine_params *params); /* a power of two */
uint64_t flow_table_hash(const struct engine *e, const struct flow_key *key);
/* The reference of the flow with this key, 0 where there is none. */
uint32_t flow_table_lookup(const struct engine *e, const struct flow_key *key);
uint32_t flow_table_lookup_hashed(const struct engine *e, const struct flow_key *key, uint64_t hash);
/* Asks memory for what a lookup will touch: first its bucket, then the records that may hold the key. */
void flow_table_prefetch_bucket(const struct engine *e, uint64_t hash);
void flow_table_prefetch_records(const struct engine *e, uint64_t hash);
/* The key must be in place at `ref` and not in the table. */
void flow_table_insert(struct engine *e, uint32_t ref);
void flow_table_remove(struct engine *e, uint32_t ref);

/* ---- ager.c -------------------------------------------------------------------------------------- */

/* (Re)sets when a session expires. Later than before costs one store, earlier a relink. */
void ager_set(struct engine *e, uint32_t slot, int64_t expires_ns);
void ager_remove(struct engine *e, uint32_t slot);
/* Ends every session that expired by e->now_ns, a tick's delay at most. */
void ager_run(struct engine *e);
int64_t ager_next_ns(const struct engine *e);

/* ---- tcp.c --------------------------------------------------------------------------------------- */

/* The state after a segment with these flags in this direction. */
enum tcp_state tcp_next_state(enum tcp_state state, enum direction direction, uint8_t flags);
enum timer tcp_timer(enum tcp_state state);

/* ---- session.c ------------------------------------------------------------------------------------ */

/* Installs a session; its slot, or 0 with *reason set. */
uint32_t session_install(struct engine *e, const struct flow_key *c2s, uint16_t ingress_port,
                         const struct session_spec *spec, uint32_t *reason);
/* Takes a session out of the table and the ager, tells the world, frees the slot. */
void session_end(struct engine *e, uint32_t slot, int64_t end_ns, enum end_reason reason);
/* Ends a session whose time has come before the wheel comes by; whether it did. */
bool session_is_over(struct engine *e, uint32_t slot);
/* Restarts the timer of the state the session is in. */
void session_refresh(struct engine *e, uint32_t slot);
/* Keeps the reason with the higher priority. */
void session_note_end(struct session *s, enum end_reason reason);
void session_view(const struct engine *e, uint32_t slot, struct session_view *out);

/* ---- undecided.c ---------------------------------------------------------------------------------- */

/* Holds a packet for the slowpath, opening a handle or parking it behind the one at `ref`; 0, or the drop
 * reason. */
uint32_t undecided_open(struct engine *e, const struct packet *p, uint64_t tag, uint16_t port);
uint32_t undecided_park(struct engine *e, uint32_t ref, const struct packet *p, uint64_t tag, uint16_t port);
void undecided_expire(struct engine *e);
int64_t undecided_next_ns(const struct engine *e);
/* A buffer for a packet of the engine's own, given back after its verdict; NULL where there is none. */
struct held *held_take(struct engine *e);
void held_finish(struct engine *e, struct held *h);

/* ---- fastpath.c ----------------------------------------------------------------------------------- */

/* The address is the firewall's own. */
bool is_local(const struct engine *e, const uint8_t address[16]);
/* The port exists and is in a zone. */
bool port_takes(const struct engine *e, uint16_t port);
/* Completes the key of a parsed packet with the zone of such a port, and hashes it. */
void fastpath_place(const struct engine *e, struct packet *p, uint16_t port);
/* Decides a packet that has its place. False where it needs the slowpath; `ref` is then
 * the handle it must wait behind, or 0. */
bool fastpath_decide(struct engine *e, const struct packet *p, uint64_t tag, uint32_t *ref);
void verdict_forward(struct engine *e, const struct packet *p, uint64_t tag, uint32_t slot, uint16_t port);
void verdict_drop(struct engine *e, uint64_t tag, uint32_t slot, enum counter reason);

/* ---- reset.c -------------------------------------------------------------------------------------- */

/* Emits a RST that answers the TCP segment p, to its sender (RFC 9293 3.10.7.1). */
void reset_sender(struct engine *e, const struct packet *p, uint16_t port);

#endif
