/*
 * nat.c - what translation hands out: ports of shared addresses, and whole addresses for a time.
 *
 * A port (or ICMP identifier) of an address may be used by as many sessions as the oversubscription says, if they talk
 * to different servers: the reply's key tells them apart, so the flow table itself says whether one is free. Which
 * one a session gets nobody outside can guess (RFC 6056 3.3.1): a keyed hash of a counter says where to look first.
 *
 * A lease is a source's own address of a pool, from its first session until some time after its last. It is found
 * by pool and source, and by pool and number; leases without sessions wait in the order in which they run out.
 */
#include <errno.h>
#include <string.h>

#include "siphash.h"
#include "state.h"

enum {
    FIRST_PORT = 1024,
    PORTS = 65536 - FIRST_PORT,
    MAX_ADDRESSES = 2048, /* that have ports in use at once */
    MAX_LEASES = 32768,
    GUESSES = 32,         /* before ports are looked at one after the other */
    MOST_LOOKUPS = 4096,  /* of shared ports that turn out to be used with this server */
    HASH_SIZE = 2 * MAX_LEASES,
};

struct block {
    uint8_t address[16];
    uint32_t sessions;    /* that have a port of it; 0: the block is free */
    uint32_t next;        /* index + 1: of the same hash; of the free list */
    uint8_t uses[PORTS];
};

struct lease {
    uint8_t source[16];
    uint32_t index;
    uint32_t sessions;
    int64_t ends_ns;        /* without a session */
    uint32_t by_source, by_index; /* the next one of the same hash, index + 1; by_source: free list */
    uint32_t idle_next, idle_prev;
    uint16_t pool;
};

struct nat {
    uint32_t block_of[MAX_ADDRESSES], block_free, block_fresh;
    struct block blocks[MAX_ADDRESSES];
    uint32_t lease_by_source[HASH_SIZE], lease_by_index[HASH_SIZE];
    struct lease leases[MAX_LEASES];
    uint32_t lease_free, lease_fresh;
    uint32_t idle_first, idle_last;
    uint32_t leased[65536], cursor[65536]; /* by pool */
    uint32_t targets[MAX_NAT_TARGETS];
};

uint64_t nat_bytes(void)
{
    return sizeof(struct nat);
}

uint64_t engine_random(struct engine *e)
{
    struct {
        uint64_t count, purpose;
    } input = {++e->random_count, 0x706f727473}; /* no flow key is as short */
    return siphash13(e->hash_key, &input, sizeof input);
}

/* ---- ports ------------------------------------------------------------------------------------------ */

static uint32_t *block_head(struct engine *e, const uint8_t address[16])
{
    return &e->nat->block_of[siphash13(e->hash_key, address, 16) % MAX_ADDRESSES];
}

static struct block *block_find(struct engine *e, const uint8_t address[16])
{
    for (uint32_t at = *block_head(e, address); at; at = e->nat->blocks[at - 1].next)
        if (!memcmp(e->nat->blocks[at - 1].address, address, 16))
            return &e->nat->blocks[at - 1];
    return NULL;
}

static struct block *block_take(struct engine *e, const uint8_t address[16])
{
    struct nat *nat = e->nat;
    uint32_t at = nat->block_free, *head = block_head(e, address);
    if (at)
        nat->block_free = nat->blocks[at - 1].next;
    else if (nat->block_fresh < MAX_ADDRESSES)
        at = ++nat->block_fresh;
    else
        return NULL;
    struct block *b = &nat->blocks[at - 1]; /* no port is in use */
    memcpy(b->address, address, 16);
    b->next = *head;
    *head = at;
    return b;
}

static void block_free(struct engine *e, struct block *b)
{
    uint32_t at = (uint32_t)(b - e->nat->blocks) + 1, *link = block_head(e, b->address);
    while (*link != at)
        link = &e->nat->blocks[*link - 1].next;
    *link = b->next;
    b->next = e->nat->block_free;
    e->nat->block_free = at;
}

/* Whether the session may have this port, which is in its key then. What was denied before keeps nobody from it: it
 * gives way to a session that is its reverse. */
static bool port_fits(const struct engine *e, const struct block *b, struct session *s, uint32_t port)
{
    if (b->uses[port] >= s->oversubscription)
        return false;
    s->key[S2C].dport = (uint16_t)(FIRST_PORT + port);
    uint32_t other = flow_table_lookup(e, &s->key[S2C]) / 2;
    return !other || (other <= e->params.max_sessions && e->sessions[other].state == SESSION_DISCARD);
}

static bool choose_port(struct engine *e, const struct block *b, struct session *s)
{
    uint32_t lookups = 0;
    if (b->sessions >= (uint32_t)PORTS * s->oversubscription)
        return false;
    for (int guess = 0; guess < GUESSES; guess++)
        if (port_fits(e, b, s, engine_random(e) % PORTS))
            return true;
    uint32_t start = engine_random(e) % PORTS;
    for (uint32_t i = 0; i < PORTS && lookups < MOST_LOOKUPS; i++) {
        uint32_t port = (start + i) % PORTS;
        lookups += b->uses[port] < s->oversubscription;
        if (port_fits(e, b, s, port))
            return true;
    }
    return false;
}

static bool port_take(struct engine *e, struct session *s)
{
    const uint8_t *address = s->key[S2C].dst;
    struct block *b = block_find(e, address);
    if (!b && !(b = block_take(e, address)))
        return false;
    bool found = choose_port(e, b, s);
    if (found) {
        b->uses[s->key[S2C].dport - FIRST_PORT]++;
        b->sessions++;
        count(e, COUNTER_nat_dynamic_port_xlat);
    }
    if (!b->sessions)
        block_free(e, b);
    return found;
}

static void port_give_back(struct engine *e, const struct session *s)
{
    struct block *b = block_find(e, s->key[S2C].dst);
    b->uses[s->key[S2C].dport - FIRST_PORT]--;
    count(e, COUNTER_nat_dynamic_port_release);
    if (!--b->sessions)
        block_free(e, b);
}

uint32_t engine_nat_ports(struct engine *e, const uint8_t *address)
{
    engine_enter(e);
    const struct block *b = block_find(e, address);
    uint32_t sessions = b ? b->sessions : 0;
    engine_leave(e);
    return sessions;
}

/* ---- leases ----------------------------------------------------------------------------------------- */

static uint32_t *head_by_source(struct engine *e, uint16_t pool, const uint8_t source[16])
{
    uint64_t words[3] = {pool};
    memcpy(words + 1, source, 16);
    return &e->nat->lease_by_source[siphash13(e->hash_key, words, sizeof words) % HASH_SIZE];
}

static uint32_t *head_by_index(struct engine *e, uint16_t pool, uint32_t index)
{
    return &e->nat->lease_by_index[(index + pool * 0x9e3779b1u) % HASH_SIZE];
}

static struct lease *lease_find(struct engine *e, uint16_t pool, const uint8_t source[16])
{
    for (uint32_t at = *head_by_source(e, pool, source); at; at = e->nat->leases[at - 1].by_source) {
        struct lease *l = &e->nat->leases[at - 1];
        if (l->pool == pool && !memcmp(l->source, source, 16))
            return l;
    }
    return NULL;
}

static bool is_leased(struct engine *e, uint16_t pool, uint32_t index)
{
    for (uint32_t at = *head_by_index(e, pool, index); at; at = e->nat->leases[at - 1].by_index)
        if (e->nat->leases[at - 1].pool == pool && e->nat->leases[at - 1].index == index)
            return true;
    return false;
}

static void idle_add(struct engine *e, struct lease *l)
{
    struct nat *nat = e->nat;
    uint32_t at = (uint32_t)(l - nat->leases) + 1;
    l->ends_ns = e->now_ns + e->config.nat_reserve_s * 1000000000ll;
    l->idle_next = NONE;
    l->idle_prev = nat->idle_last;
    *(nat->idle_last ? &nat->leases[nat->idle_last - 1].idle_next : &nat->idle_first) = at;
    nat->idle_last = at;
}

static void idle_remove(struct nat *nat, struct lease *l)
{
    *(l->idle_prev ? &nat->leases[l->idle_prev - 1].idle_next : &nat->idle_first) = l->idle_next;
    *(l->idle_next ? &nat->leases[l->idle_next - 1].idle_prev : &nat->idle_last) = l->idle_prev;
}

static void lease_end(struct engine *e, struct lease *l)
{
    struct nat *nat = e->nat;
    uint32_t at = (uint32_t)(l - nat->leases) + 1, *link = head_by_source(e, l->pool, l->source);
    idle_remove(nat, l);
    while (*link != at)
        link = &nat->leases[*link - 1].by_source;
    *link = l->by_source;
    link = head_by_index(e, l->pool, l->index);
    while (*link != at)
        link = &nat->leases[*link - 1].by_index;
    *link = l->by_index;
    nat->leased[l->pool]--;
    l->by_source = nat->lease_free;
    nat->lease_free = at;
}

/* A lease that waits for its first session may stand before one that ends sooner, by no more than it waits. */
static void end_idle(struct engine *e)
{
    struct nat *nat = e->nat;
    while (nat->idle_first && nat->leases[nat->idle_first - 1].ends_ns <= e->now_ns)
        lease_end(e, &nat->leases[nat->idle_first - 1]);
}

/* A reservation that has become shorter holds for what waits, too: else whatever came behind would wait as long. */
void nat_configure(struct engine *e)
{
    struct nat *nat = e->nat;
    int64_t latest = e->now_ns + e->config.nat_reserve_s * 1000000000ll + e->params.answer_timeout_ms * 1000000ll;
    for (uint32_t at = nat->idle_first; at; at = nat->leases[at - 1].idle_next)
        if (nat->leases[at - 1].ends_ns > latest)
            nat->leases[at - 1].ends_ns = latest;
}

static struct lease *lease_new(struct engine *e, uint16_t pool, uint32_t size, const uint8_t source[16])
{
    struct nat *nat = e->nat;
    uint32_t at = nat->lease_free, index = nat->cursor[pool];
    if (nat->leased[pool] >= size || (!at && nat->lease_fresh == MAX_LEASES))
        return NULL;
    while (is_leased(e, pool, index % size))
        index++;
    if (at)
        nat->lease_free = nat->leases[at - 1].by_source;
    else
        at = ++nat->lease_fresh;
    struct lease *l = &nat->leases[at - 1];
    uint32_t *by_source = head_by_source(e, pool, source), *by_index = head_by_index(e, pool, index % size);
    *l = (struct lease){.index = index % size, .pool = pool, .by_source = *by_source, .by_index = *by_index};
    memcpy(l->source, source, 16);
    *by_source = *by_index = at;
    nat->cursor[pool] = (l->index + 1) % size;
    nat->leased[pool]++;
    idle_add(e, l);
    l->ends_ns += e->params.answer_timeout_ms * 1000000ll; /* until its first session comes */
    return l;
}

int64_t engine_nat_lease(struct engine *e, uint16_t pool, uint32_t size, const uint8_t *source)
{
    engine_enter(e);
    struct lease *l = lease_find(e, pool, source);
    if (!l && size) {
        end_idle(e);
        l = lease_new(e, pool, size, source);
    }
    int64_t index = l ? (int64_t)l->index : -ENOSPC;
    engine_leave(e);
    return index;
}

uint32_t engine_nat_leases(struct engine *e, uint16_t pool)
{
    engine_enter(e);
    end_idle(e);
    uint32_t leased = e->nat->leased[pool];
    engine_leave(e);
    return leased;
}

/* ---- sessions ---------------------------------------------------------------------------------------- */

bool nat_take(struct engine *e, struct session *s)
{
    struct lease *l = s->lease_pool ? lease_find(e, s->lease_pool, s->key[C2S].src) : NULL;
    if (s->lease_pool && !l) /* it has run out in the meantime */
        return false;
    if (s->oversubscription && !port_take(e, s))
        return false;
    if (l && !l->sessions++)
        idle_remove(e->nat, l);
    if (s->nat_target)
        e->nat->targets[s->nat_target]++;
    return true;
}

void nat_give_back(struct engine *e, struct session *s)
{
    struct lease *l = s->lease_pool ? lease_find(e, s->lease_pool, s->key[C2S].src) : NULL;
    if (s->oversubscription)
        port_give_back(e, s);
    if (l && !--l->sessions)
        idle_add(e, l);
    if (s->nat_target)
        e->nat->targets[s->nat_target]--;
    s->oversubscription = 0;
    s->lease_pool = s->nat_target = 0;
}

uint32_t engine_nat_target(struct engine *e, uint16_t target)
{
    engine_enter(e);
    uint32_t sessions = target < MAX_NAT_TARGETS ? e->nat->targets[target] : 0;
    engine_leave(e);
    return sessions;
}
