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
#include <string.h>

#include "engine.h"
#include "cookie.h"
#include "fib.h"
#include "fragment.h"
#include "packet.h"
#include "protect.h"
#include "tunnel.h"

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

/* What a direction has sent and may send (tcp.c). */
struct tcp_window {
    uint32_t end;        /* behind the last byte it has sent */
    uint32_t max_end;    /* behind the last byte the other side has said it would take */
    uint32_t max_window; /* the largest window it has offered */
    uint32_t max_ack;    /* what it expects next, as far as it has said */
};

/* Five cache lines; a packet the offload engine forwards touches the fourth one alone, the last one is read when
 * somebody looks and when the session ends. */
struct session {
    struct flow_key key[2]; /* spans lines 0 and 1, with what a packet in software needs beside it */
    int64_t refreshed_ns;   /* when the timer was started */
    uint32_t timeout_s;     /* the timer in force */
    uint32_t rule;
    uint32_t established_s; /* a timer of its own, 0 where it has none; the seldom ones are below */
    uint16_t mark[2];       /* what its packets' marks have beside the port's: class and path, by direction */
    uint8_t dscp[2];        /* as in its spec */
    uint8_t oversubscription; /* not 0: the port of key[S2C].dst was chosen and is to be given back */
    uint8_t unused;
    uint16_t lease_pool;    /* 0: none */
    uint16_t application;
    uint16_t port[2];
    uint16_t ager_slot;  /* level * WHEEL_SLOTS + slot, or NOT_IN_AGER */
    uint16_t generation; /* of the configuration and routes its ports are checked against */
    uint16_t flags;      /* enum session_flag and session_mark */
    uint8_t blocked[2];  /* why packets of this direction cannot be forwarded: a drop reason, or 0 */
    uint8_t state, end_reason, action;
    uint8_t before_rst;  /* the TCP state before a RST that could not be verified */

    uint64_t packets[2], bytes[2];
    int64_t start_ns;
    uint64_t ager_tick; /* when the ager looks at it; the true end may be later */
    uint32_t ager_next, ager_prev; /* slots */
    uint32_t link[2];

    struct tcp_window window[2];
    int64_t expires_ns; /* on the ager's clock; ended sessions: when they ended, in time */
    int64_t last_ns;    /* of the last packet */
    uint32_t longest_wait_ms, longest_gap_ms;
    uint32_t offload;   /* its record in the offload engine, or NONE */
    uint8_t scale[2];   /* of the window a direction offers */
    uint8_t seen;       /* enum tcp_seen */
    uint8_t tcp_state;

    uint32_t half_closed_s, discard_s, time_wait_s; /* timers of its own */
    uint32_t nat_rule, pbf_rule, qos_rule;
    uint16_t nat_target;
    uint16_t dos_rule;  /* as in struct packet */
    uint32_t dos_entry; /* that counts it: its host's, plus 1; 0: none */
    struct proxied proxied; /* of SESSION_SYN_COOKIE alone */
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct session) == 320, "five cache lines");

enum { NOT_IN_AGER = 0xffff };
enum { MARK_PATH = 0xff, MARK_CLASS_SHIFT = 9 }; /* dataplane/marks.py */

/* Marks of the engine's own, above enum session_flag in the same field. */
enum session_mark {
    SESSION_NO_ROOM = 1 << 12, /* counted as kept in software: the offload engine was full */
    SESSION_NO_WAY = 1 << 13,  /* not because of its size: a bucket was */
};

enum { OFFLOAD_WAYS = 5, MAX_REPORT_PACKETS = 1 << 15 };

/* One cache line of the offload engine's own flow table. */
struct offload_bucket {
    uint32_t tag[OFFLOAD_WAYS]; /* upper half of the hash */
    uint32_t ref[OFFLOAD_WAYS]; /* record * 2 + direction, 0: empty */
    uint32_t slot[OFFLOAD_WAYS];
    uint32_t unused;
};

/* A session in the offload engine: what the hardware knows of it. */
struct offload_record {
    struct flow_key key[2];
    int64_t first_ns[2]; /* of the unreported packets, on the ager's clock */
    uint32_t bytes[2];   /* unreported, as are packets */
    uint16_t packets[2];
    uint32_t slot;       /* the session; in a free record the next free one */
    uint16_t port[2];
    uint16_t report_packets;
    uint16_t generation;
    uint16_t mark[2];
    uint8_t dscp[2];
    bool seen_data, translates;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct offload_record) == 128, "two cache lines");

struct offload {
    struct offload_bucket *buckets;
    uint64_t bucket_mask;
    struct offload_record *records; /* [max_offloaded + 1] */
    uint32_t fresh, free;           /* records above fresh were never used */
    uint32_t limit;                 /* sessions it takes now; 0 while it is switched off */
    int64_t scan_ns;                /* 0: flows are not reported by time */
};

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
};

/* So many a second. */
struct allowance {
    int64_t since_ns;
    uint32_t used;
};

struct engine {
    /* Taken in this order by every call from outside. `gate` keeps the turns fair: a thread that leaves and
     * comes back at once finds the one that was waiting before it. */
    pthread_mutex_t gate, inside;
    struct engine_params params;
    uint64_t region_bytes;
    int64_t now_ns;
    int64_t age_ns;      /* the ager's clock: time, but faster while aging is accelerated */
    int64_t rate_age_ns; /* what it showed when it took its rate */
    uint32_t age_rate, past_rate; /* how much faster, now and before that */
    uint64_t hash_key[2];

    struct engine_config config; /* its tables are in `tables`, protections[0] of zones without a profile before the others */
    void *tables;
    bool may_bypass; /* some zone's asymmetric-path is bypass */
    const struct fib *fibs[MAX_VIRTUAL_ROUTERS]; /* NULL: sessions go where they went */
    uint16_t generation;   /* of configuration and routes */

    struct bucket *buckets;
    uint64_t bucket_mask;
    struct session *sessions; /* [max_sessions + 1] */
    uint32_t fresh;           /* slots above have never been used */
    uint32_t free_head, free_tail, free_count;
    struct ager ager;
    struct offload offload;

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

    struct nat *nat;
    struct fragments *fragments;
    struct blocks *blocks;
    int64_t blocked_until_ns; /* when the last entry in it has ended at the latest */
    struct threats *threats;
    struct checks *checks;
    struct zones *zones;
    struct scans *scans;
    struct dos *dos;
    struct buffers *buffers;
    struct tunnels *tunnels;
    uint64_t random_count;
    struct allowance unreachables, errors; /* ICMP errors that may still be sent */

    struct verdict *verdicts;       /* being filled */
    struct verdict *verdicts_taken; /* in the hands of whoever called engine_verdicts */
    uint32_t verdict_count;
    uint32_t verdict_limit; /* of packets taken; as many again as can be held may follow from answers */
    struct event *events;
    uint32_t event_head, event_tail; /* free running, from 0 whenever all were taken */

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

static inline int64_t divide_up(int64_t ns, uint32_t by)
{
    if (by == 1) /* it is, nearly always, and dividing takes long */
        return ns;
    return ns > 0 ? (ns + by - 1) / by : ns / by;
}

/* The first time at which the ager's clock shows so much: exact back to the last but one change of its rate, and as
 * if the present one stayed from now on. */
static inline int64_t time_at(const struct engine *e, int64_t age_ns)
{
    if (age_ns >= e->rate_age_ns)
        return e->now_ns + divide_up(age_ns - e->age_ns, e->age_rate);
    int64_t began_ns = e->now_ns - (e->age_ns - e->rate_age_ns) / e->age_rate;
    return began_ns + divide_up(age_ns - e->rate_age_ns, e->past_rate);
}

static inline void count(struct engine *e, enum counter counter)
{
    e->counters[counter]++;
}

/* Sessions there may be at once: all there are belong to the one virtual system. */
static inline uint32_t session_capacity(const struct engine *e)
{
    uint32_t limit = e->config.vsys_max_sessions;
    return limit && limit < e->params.max_sessions ? limit : e->params.max_sessions;
}

/* Addresses compare as bytes. */
static inline bool is_within(const uint8_t address[16], const struct address_range *range)
{
    return memcmp(address, range->first, 16) >= 0 && memcmp(address, range->last, 16) <= 0;
}

/* What protects the zone of a port. */
static inline const struct zone_protection *protection_of(const struct engine *e, uint16_t port)
{
    return &e->config.protections[e->config.ports[port].protection];
}

static inline bool block_hit(struct engine *e, const struct packet *p)
{
    return e->now_ns < e->blocked_until_ns && block_finds(e, p);
}

/* Why the profile of the packet's zone refuses it by what it is itself: 0, or the drop reason. Few have any traits. */
static inline uint32_t checks_refuse(struct engine *e, const struct packet *p)
{
    if (__builtin_expect(!p->traits, 1))
        return 0;
    uint64_t which = p->traits & protection_of(e, p->port)->checks;
    return which ? checks_refuse_traits(e, p, which) : 0;
}

/* Whether a segment of a session is one for checks_refuse_segment and checks_pass_segment: SYNs are, others only where all
 * bytes are compared. */
static inline bool checks_concern(const struct engine *e, const struct packet *p)
{
    return p->tcp_flags & TCP_SYN || protection_of(e, p->port)->checks & 1ull << PROTECT_tcp_overlap_mismatch;
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

/* (Re)sets when a session expires on the ager's clock. Later than before costs one store, earlier a relink. */
void ager_set(struct engine *e, uint32_t slot, int64_t expires_ns);
/* Looks at a session then as well, on the same clock. */
void ager_look(struct engine *e, uint32_t slot, int64_t at_ns);
void ager_remove(struct engine *e, uint32_t slot);
/* Ends every session that expired by e->age_ns, a tick's delay at most. */
void ager_run(struct engine *e);
/* When ager_run has work at the earliest, on its clock. */
int64_t ager_next_ns(const struct engine *e);

static inline bool is_in_ager(const struct session *s)
{
    return s->ager_slot != NOT_IN_AGER;
}

/* ---- tcp.c --------------------------------------------------------------------------------------- */

enum tcp_seen { TCP_SEEN_C2S = 1, TCP_SEEN_S2C = 2, TCP_SEEN_SYN_C2S = 4, TCP_SEEN_SYN_S2C = 8 };

/* Follows a segment of a session: 0, or the reason it must be dropped for, and then nothing has changed. `restart`
 * says whether the session's timer starts again. */
uint32_t tcp_segment(struct engine *e, struct session *s, enum direction direction, const struct packet *p,
                     bool *restart);
/* Follows what a host sends the firewall itself, whose answers are not seen. */
uint32_t tcp_host_segment(struct session *s, const struct packet *p, bool *restart);
enum timer tcp_timer(const struct engine_config *config, enum tcp_state state);

/* ---- session.c ------------------------------------------------------------------------------------ */

/* Installs a session; its slot, or 0 with *reason set. */
uint32_t session_install(struct engine *e, const struct flow_key *c2s, uint16_t ingress_port,
                         const struct session_spec *spec, uint32_t *reason);
/* Makes an active session one that is denied. */
void session_deny(struct engine *e, uint32_t slot, enum action action, uint32_t rule);
/* Takes a session out of the table and the ager, tells the world, frees the slot. */
void session_end(struct engine *e, uint32_t slot, int64_t end_ns, enum end_reason reason);
/* Ends a session whose time has come before the wheel comes by; whether it did. */
bool session_is_over(struct engine *e, uint32_t slot);
/* Starts the timer of the state the session is in. */
void session_refresh(struct engine *e, uint32_t slot);
/* Starts the timer in force again, as of a reading of the ager's clock that is not after now. */
void session_restart_timer(struct engine *e, uint32_t slot, int64_t age_ns);
/* Keeps the reason with the higher priority. */
void session_note_end(struct session *s, enum end_reason reason);
void session_view(struct engine *e, uint32_t slot, struct session_view *out);

static inline void session_note_longest(uint32_t *longest_ms, int64_t ns)
{
    if (ns >= (*longest_ms + 1ll) * 1000000) /* seldom: dividing can wait */
        *longest_ms = ns / 1000000 < UINT32_MAX ? (uint32_t)(ns / 1000000) : UINT32_MAX;
}

/* Notes that a packet of it came now. */
static inline void session_touch(const struct engine *e, struct session *s)
{
    session_note_longest(&s->longest_gap_ms, e->now_ns - s->last_ns);
    s->last_ns = e->now_ns;
}

static inline bool is_translated(const struct session *s)
{
    return s->flags & (SESSION_SOURCE_NAT | SESSION_DESTINATION_NAT);
}

static inline bool session_is_live(const struct session *s)
{
    return s->state == SESSION_ACTIVE || s->state == SESSION_DISCARD;
}

/* ---- offload.c ------------------------------------------------------------------------------------- */

uint64_t offload_buckets(const struct engine_params *params); /* a power of two */
/* Takes over a changed configuration: who must leave leaves. */
void offload_configure(struct engine *e);
void offload_prefetch_bucket(const struct engine *e, uint64_t hash);
/* Like flow_table_prefetch_records; false where the flow is not in the offload engine. */
bool offload_prefetch_records(const struct engine *e, uint64_t hash);
/* Forwards or drops a packet the hardware understands; false where the packet is the fastpath's. */
bool offload_packet(struct engine *e, const struct packet *p, uint64_t tag);
/* Moves a session that is not in the offload engine into it, if it is eligible and there is room. */
void offload_enter(struct engine *e, uint32_t slot);
/* Takes a session out of it, with everything it has counted. */
void offload_leave(struct engine *e, uint32_t slot);
/* Gives the reports that are due by time; the session must be in the offload engine. */
void offload_settle(struct engine *e, uint32_t slot);

/* ---- undecided.c ---------------------------------------------------------------------------------- */

/* Holds a packet for the slowpath, opening a handle or parking it behind the one at `ref`; 0, or the drop
 * reason. */
uint32_t undecided_open(struct engine *e, const struct packet *p, uint64_t tag);
uint32_t undecided_park(struct engine *e, uint32_t ref, const struct packet *p, uint64_t tag);
void undecided_expire(struct engine *e);
int64_t undecided_next_ns(const struct engine *e);
/* A buffer for a packet of the engine's own, given back after its verdict; NULL where there is none. */
struct held *held_take(struct engine *e);
void held_finish(struct engine *e, struct held *h);

/* An unpredictable number: a keyed hash of a count. */
uint64_t engine_random(struct engine *e);

/* ---- nat.c ----------------------------------------------------------------------------------------- */

uint64_t nat_bytes(void);
void nat_configure(struct engine *e);
/* Takes what the session's translation needs beside its keys: with an oversubscription its port, which completes
 * key[S2C]; its lease; its target. False where there is none left. */
bool nat_take(struct engine *e, struct session *s);
void nat_give_back(struct engine *e, struct session *s);

/* ---- rewrite.c ------------------------------------------------------------------------------------- */

/* Makes a packet of one flow what leaves on the other side, where `to` is the key of the session's other flow (NULL:
 * addresses and ports stay), with this DSCP (as in a session_spec) and, in a SYN, no larger MSS than this (0: any).
 * Whether anything was changed; all checksums are complete then. */
bool rewrite_packet(struct engine *e, const struct packet *p, const struct flow_key *to, uint8_t dscp, uint16_t largest_mss);
/* The same for an ICMP error that goes the way of flow `own`, and for what it quotes of the other flow. */
bool rewrite_icmp_error(const struct packet *p, const struct flow_key *own, const struct flow_key *to);

/* ---- icmp_error.c ---------------------------------------------------------------------------------- */

enum icmp_error { ICMP_TIME_EXCEEDED, ICMP_TOO_BIG, ICMP_PROHIBITED };
/* Emits an ICMP error about a packet as it came in, to its sender; where that is fitting, allowed and not too often. */
void icmp_error_emit(struct engine *e, const struct packet *p, uint16_t port, enum icmp_error error, uint32_t mtu);

/* ---- verdict.c ------------------------------------------------------------------------------------ */

/* A verdict that is completed by who asks for it; the tag is no datagram's. */
struct verdict *verdict_add(struct engine *e, enum verdict_action action, uint64_t tag, uint32_t slot);
/* `mark` is added to the port's. */
void verdict_forward(struct engine *e, const struct packet *p, uint64_t tag, uint32_t slot, uint16_t port, uint16_t mark, bool changed);
void verdict_drop(struct engine *e, uint64_t tag, uint32_t slot, enum counter reason);
void verdict_host(struct engine *e, const struct packet *p, uint64_t tag, uint32_t slot);
/* The packet was answered, or sent on in another form. */
void verdict_consumed(struct engine *e, uint64_t tag, uint32_t slot);
/* A packet of the engine's own that answers p, and the verdict on p. */
void verdict_answer(struct engine *e, struct held *h, uint32_t len, const struct packet *p, uint64_t tag);
/* A packet of the engine's own in a buffer of held_take, by a port, to its neighbour `mac` where that is a bridged one;
 * `mark` is added to the host's. */
void verdict_emit(struct engine *e, struct held *h, uint32_t len, uint16_t port, uint16_t mark, const uint8_t *mac);
/* The same by this port, whatever the routes say. */
void verdict_emit_by(struct engine *e, struct held *h, uint32_t len, uint16_t port, uint16_t mark);

/* ---- fastpath.c ----------------------------------------------------------------------------------- */

/* The address is the firewall's own. */
bool is_local(const struct engine *e, const uint8_t address[16]);
/* The port exists and is in a zone. */
bool port_takes(const struct engine *e, uint16_t port);
/* It is a bridge's, of layer 2, a virtual wire or a tap. */
bool is_bridged(const struct engine *e, uint16_t port);
/* The firewall routes through it: it is no bridge's, no loopback. */
bool is_routed(const struct engine *e, uint16_t port);
/* Completes the key of a parsed packet with the zone of its port, and hashes it. */
void fastpath_place(const struct engine *e, struct packet *p);
/* Decides a packet that has its place. False where it needs the slowpath; `ref` is then
 * the handle it must wait behind, or 0. */
bool fastpath_decide(struct engine *e, struct packet *p, uint64_t tag, uint32_t *ref);
/* Decides an ICMP error of the machine's own kernel. */
void fastpath_own_error(struct engine *e, struct packet *p, uint64_t tag);

/* ---- reset.c -------------------------------------------------------------------------------------- */

/* Emits a RST that answers the TCP segment p, to its sender (RFC 9293 3.10.7.1). */
void reset_sender(struct engine *e, const struct packet *p, uint16_t port);
/* Emits a RST in the name of p's sender, to whom p was meant for: no SYN, nor the ACK of a cookie, so there may be a
 * connection. */
void reset_receiver(struct engine *e, const struct packet *p, uint16_t port);
/* Emits a RST to both ends, or one, of an established session. */
void reset_ends(struct engine *e, const struct session *s, bool client, bool server);

#endif
