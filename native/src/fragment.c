/*
 * fragment.c - virtual reassembly.
 *
 * Fragments are kept as they came, by datagram and within it by offset (RFC 815 in spirit: what is missing is known
 * from what is there). When nothing is missing, a copy of the whole is put together and decided; what was decided, and
 * changed, is then said of each fragment. Nothing is ever joined from bytes that were sent twice and differently: an
 * overlap ends the datagram, and with it whatever comes of it until its time is over (RFC 5722, RFC 8200 4.5).
 *
 * Memory is bounded, so who sends fragments that never become whole takes it from others. What has to go when there is
 * no room is chosen by network and by source: the network with the most loses, of its oldest datagrams that whose
 * source has the most. A flood takes from itself.
 */
#include <string.h>

#include "checksum.h"
#include "siphash.h"
#include "state.h"

enum {
    PIECE_BYTES = 2048,   /* nearly every fragment; a page is touched by two of them, and only when used */
    BIG_PIECES = 64,      /* of jumbo frames, up to the longest packet */
    MAX_PIECES = 256,     /* of a datagram: 64 KiB over a link with an MTU of 576 are 119 */
    SHARES = 256,         /* networks, by keyed hash */
    SOURCES = 4096,       /* hosts, likewise */
    CANDIDATES = 16,      /* datagrams of a network that are compared when one must go */
    UNKNOWN_END = UINT32_MAX,
};

/* A fragment that waits, or one whose verdict is not used any more. Numbers of pieces are indices + 1. */
struct piece {
    uint64_t tag;
    uint32_t next;   /* of its datagram, as they came; of the free ones; of those to free */
    uint32_t above;  /* the next one by offset */
    uint32_t len;    /* of the packet */
    uint32_t offset, size;
    uint16_t at;     /* where its payload begins */
    uint16_t header, announced; /* IPv6: the fragment header, and the field that announces it */
    uint16_t big;    /* number of its large buffer, 0: it has its own of PIECE_BYTES */
    bool is_last, is_rebuilt;
};

/* What fragments of one datagram have in common (RFC 791, RFC 8200 4.5), and where they came from. */
struct origin {
    uint8_t src[16], dst[16];
    uint32_t id;
    uint16_t port, egress;
    uint8_t family;
    uint8_t proto;    /* of IPv4; with IPv6 only the first fragment's counts */
    bool is_reframed; /* these have to leave in another way */
    uint8_t unused[5];
};

_Static_assert(sizeof(struct origin) % 8 == 0, "is hashed in words");

/* A datagram; numbers are indices + 1, too. It is among those that wait until it is whole, then it is its verdict's. */
struct assembly {
    struct origin origin;
    int64_t deadline_ns;
    uint32_t link;             /* of its bucket; of the free ones */
    uint32_t older, younger;   /* of all that wait */
    uint32_t before, behind;   /* of its share, oldest first */
    uint32_t first, last;      /* pieces, as they came */
    uint32_t lowest, highest;  /* by offset */
    uint32_t bytes;            /* of payload */
    uint32_t wire_bytes;
    uint32_t end;              /* of the payload */
    uint32_t whole_len;
    uint16_t header;           /* before the payload of the whole */
    uint16_t generation;
    uint16_t count, big;       /* pieces, and those with a large buffer */
    uint16_t share, source;
    uint16_t refused;          /* why whatever comes of it is dropped, 0: it is not */
    bool is_broadcast;
    uint8_t mac[6];
};

struct share {
    uint32_t oldest, youngest;
    uint32_t weight; /* datagrams and their pieces */
    uint32_t big;
};

struct fragments {
    uint32_t held, held_bytes;
    uint32_t piece_fresh, piece_free; /* above fresh nothing was ever used */
    uint32_t piece_done;  /* the verdict is reached */
    uint32_t piece_taken; /* the verdict is taken, the bytes still in use */
    uint32_t assembly_fresh, assembly_free;
    uint32_t oldest, youngest;
    uint32_t big_count;
    uint16_t big_free[BIG_PIECES];
    struct share shares[SHARES];
    uint16_t sources[SOURCES]; /* pieces and datagrams */
    uint64_t bucket_mask;
    uint32_t *buckets;
    struct piece *pieces;
    struct assembly *assemblies;
    uint8_t *small, *large; /* buffers; the last large one is where the whole is put together */
};

/* ---- memory --------------------------------------------------------------------------------------- */

static uint64_t bucket_count(const struct engine_params *params)
{
    uint64_t count = 1;
    while (count < params->max_fragments)
        count *= 2;
    return count;
}

/* Places the tables behind each other; their size. */
static uint64_t lay_out(struct fragments *f, const struct engine_params *params, uintptr_t begin)
{
    uint64_t max = params->max_fragments;
    uintptr_t at = begin + ((sizeof *f + 63) & ~63ull);
    f->small = (uint8_t *)at, at += max * PIECE_BYTES;
    f->large = (uint8_t *)at, at += (BIG_PIECES + 1ull) * HELD_BYTES;
    f->assemblies = (struct assembly *)at, at += max * sizeof *f->assemblies;
    f->pieces = (struct piece *)at, at += max * sizeof *f->pieces;
    f->buckets = (uint32_t *)at, at += bucket_count(params) * sizeof *f->buckets;
    return at - begin;
}

uint64_t fragments_bytes(const struct engine_params *params)
{
    struct fragments nowhere;
    return lay_out(&nowhere, params, 0);
}

void fragments_init(struct engine *e)
{
    struct fragments *f = e->fragments;
    lay_out(f, &e->params, (uintptr_t)f);
    f->bucket_mask = bucket_count(&e->params) - 1;
    while (f->big_count < BIG_PIECES) {
        f->big_free[f->big_count] = (uint16_t)(BIG_PIECES - f->big_count);
        f->big_count++;
    }
}

static struct piece *piece_of(const struct fragments *f, uint32_t number)
{
    return &f->pieces[number - 1];
}

static struct assembly *assembly_of(const struct fragments *f, uint32_t number)
{
    return &f->assemblies[number - 1];
}

static uint32_t number_of(const struct fragments *f, const struct assembly *a)
{
    return (uint32_t)(a - f->assemblies) + 1;
}

static uint8_t *bytes_of(const struct fragments *f, uint32_t number)
{
    uint16_t big = piece_of(f, number)->big;
    return big ? f->large + (big - 1ull) * HELD_BYTES : f->small + (number - 1ull) * PIECE_BYTES;
}

static void piece_release(struct fragments *f, uint32_t number)
{
    struct piece *piece = piece_of(f, number);
    if (piece->big)
        f->big_free[f->big_count++] = piece->big;
    piece->next = f->piece_free;
    f->piece_free = number;
}

static bool has_piece(const struct engine *e)
{
    return e->fragments->piece_free || e->fragments->piece_fresh < e->params.max_fragments;
}

static bool has_assembly(const struct engine *e)
{
    return e->fragments->assembly_free || e->fragments->assembly_fresh < e->params.max_fragments;
}

/* ---- datagrams ------------------------------------------------------------------------------------ */

static uint32_t *bucket_of(const struct engine *e, const struct origin *origin)
{
    return &e->fragments->buckets[siphash13(e->hash_key, origin, sizeof *origin) & e->fragments->bucket_mask];
}

static struct assembly *find(const struct engine *e, const struct origin *origin)
{
    const struct fragments *f = e->fragments;
    for (uint32_t number = *bucket_of(e, origin); number; number = assembly_of(f, number)->link)
        if (!memcmp(&assembly_of(f, number)->origin, origin, sizeof *origin))
            return assembly_of(f, number);
    return NULL;
}

/* Of a source's address so many bits, as they came by a port: an IPv4 network is one of /24, an IPv6 one of /48. */
static uint64_t hash_source(const struct engine *e, const struct origin *origin, uint32_t bits)
{
    uint8_t text[24] = {0};
    memcpy(text, origin->src, bits / 8);
    memcpy(text + 16, &origin->port, sizeof origin->port);
    text[18] = (uint8_t)bits;
    return siphash13(e->hash_key, text, sizeof text);
}

static struct assembly *begin(struct engine *e, const struct origin *origin)
{
    struct fragments *f = e->fragments;
    uint32_t number = f->assembly_free ? f->assembly_free : ++f->assembly_fresh, *bucket = bucket_of(e, origin);
    struct assembly *a = assembly_of(f, number);
    if (number == f->assembly_free)
        f->assembly_free = a->link;
    *a = (struct assembly){
        .origin = *origin,
        .deadline_ns = e->now_ns + FRAGMENT_TIMEOUT_S * 1000000000ll,
        .generation = a->generation,
        .link = *bucket,
        .older = f->youngest,
        .end = UNKNOWN_END,
        .share = (uint16_t)(hash_source(e, origin, origin->family == 4 ? 120 : 48) % SHARES),
        .source = (uint16_t)(hash_source(e, origin, 128) % SOURCES),
        .is_broadcast = true,
    };
    struct share *share = &f->shares[a->share];
    *bucket = number;
    *(f->youngest ? &assembly_of(f, f->youngest)->younger : &f->oldest) = number;
    f->youngest = number;
    a->before = share->youngest;
    *(share->youngest ? &assembly_of(f, share->youngest)->behind : &share->oldest) = number;
    share->youngest = number;
    share->weight++;
    f->sources[a->source]++;
    return a;
}

/* It waits no more: nothing finds it, no timer looks at it, and nobody else can push it out. */
static void leave(struct engine *e, struct assembly *a)
{
    struct fragments *f = e->fragments;
    struct share *share = &f->shares[a->share];
    uint32_t number = number_of(f, a), *link = bucket_of(e, &a->origin);
    while (*link != number)
        link = &assembly_of(f, *link)->link;
    *link = a->link;
    *(a->older ? &assembly_of(f, a->older)->younger : &f->oldest) = a->younger;
    *(a->younger ? &assembly_of(f, a->younger)->older : &f->youngest) = a->older;
    *(a->before ? &assembly_of(f, a->before)->behind : &share->oldest) = a->behind;
    *(a->behind ? &assembly_of(f, a->behind)->before : &share->youngest) = a->before;
    share->weight -= 1u + a->count;
    share->big -= a->big;
    f->sources[a->source] -= (uint16_t)(1 + a->count);
}

static void assembly_release(struct fragments *f, struct assembly *a)
{
    a->generation++;
    a->link = f->assembly_free;
    f->assembly_free = number_of(f, a);
}

/* Drops what there is of one that waits. */
static void drop_pieces(struct engine *e, struct assembly *a, enum counter reason)
{
    struct fragments *f = e->fragments;
    for (uint32_t number = a->first, next; number; number = next) {
        struct piece *piece = piece_of(f, number);
        next = piece->next;
        verdict_drop(e, piece->tag, NONE, reason);
        f->held--;
        f->held_bytes -= piece->len;
        piece_release(f, number);
    }
    f->shares[a->share].weight -= a->count;
    f->shares[a->share].big -= a->big;
    f->sources[a->source] -= a->count;
    a->first = a->last = a->lowest = a->highest = NONE;
    a->count = a->big = 0;
}

static void give_up(struct engine *e, struct assembly *a, enum counter reason)
{
    drop_pieces(e, a, reason);
    leave(e, a);
    assembly_release(e->fragments, a);
}

/* Whatever comes of it until its time is over is dropped, like what has come. */
static uint32_t refuse_all(struct engine *e, struct assembly *a, enum counter reason)
{
    drop_pieces(e, a, reason);
    a->refused = (uint16_t)reason;
    return reason;
}

/* ---- room ----------------------------------------------------------------------------------------- */

/* Gives up one datagram, with a large buffer where that is what is short. False where none waits. */
static bool push_out(struct engine *e, bool big)
{
    struct fragments *f = e->fragments;
    struct share *most = f->shares;
    for (struct share *share = f->shares; share < f->shares + SHARES; share++)
        if (big ? share->big > most->big : share->weight > most->weight)
            most = share;
    struct assembly *chosen = NULL;
    uint32_t seen = 0;
    for (uint32_t number = most->oldest; number && seen < CANDIDATES; number = assembly_of(f, number)->behind) {
        struct assembly *a = assembly_of(f, number);
        if (big && !a->big)
            continue;
        seen++;
        if (!chosen || f->sources[a->source] > f->sources[chosen->source])
            chosen = a;
    }
    if (chosen)
        give_up(e, chosen, COUNTER_flow_ipfrag_limit);
    return chosen;
}

/* Makes room for a piece, of a datagram that is there already or of a new one; false where all is in use by what is decided
 * already. */
static bool make_room(struct engine *e, bool is_new, bool big)
{
    while (!has_piece(e) || (is_new && !has_assembly(e)))
        if (!push_out(e, false))
            return false;
    while (big && !e->fragments->big_count)
        if (!push_out(e, true))
            return false;
    return true;
}

/* ---- a fragment ----------------------------------------------------------------------------------- */

/* Whether a first fragment has less of the layer 4 header, or of the headers before that, than is needed to tell what it
 * is (RFC 1858, RFC 7112). */
static bool is_tiny(const struct packet *p)
{
    enum { HOP_BY_HOP = 0, ROUTING = 43, AUTHENTICATION = 51, DESTINATION = 60, TCP_MINIMUM = 20, L4_MINIMUM = 8 };
    const uint8_t *at = p->data + p->l4_offset, *end = p->data + p->len;
    uint8_t proto = p->key.proto;
    if (p->key.family == 6)
        for (proto = p->data[p->fragment_header];
             proto == HOP_BY_HOP || proto == ROUTING || proto == AUTHENTICATION || proto == DESTINATION;) {
            int size = end - at < L4_MINIMUM ? L4_MINIMUM : proto == AUTHENTICATION ? 8 + at[1] * 4 : 8 + at[1] * 8;
            if (end - at < size)
                return true;
            proto = at[0];
            at += size;
        }
    if (proto == PROTO_TCP)
        return end - at < TCP_MINIMUM || end - at < (at[12] >> 4) * 4;
    return (proto == PROTO_UDP || proto == PROTO_ICMP || proto == PROTO_ICMPV6) && end - at < L4_MINIMUM;
}

/* The last piece that begins no later than `offset`. */
static uint32_t piece_below(const struct fragments *f, const struct assembly *a, uint32_t offset)
{
    uint32_t below = NONE;
    if (a->highest && piece_of(f, a->highest)->offset <= offset) /* they come in order, nearly always */
        return a->highest;
    for (uint32_t number = a->lowest; number && piece_of(f, number)->offset <= offset; number = piece_of(f, number)->above)
        below = number;
    return below;
}

static bool is_duplicate(const struct fragments *f, uint32_t below, const struct packet *p, uint32_t size)
{
    const struct piece *piece = below ? piece_of(f, below) : NULL;
    return piece && piece->offset == p->fragment_offset && piece->size == size && piece->is_last != p->more_fragments &&
           !memcmp(bytes_of(f, below) + piece->at, p->data + p->l4_offset, size);
}

/* Whether a fragment, above piece `below`, contradicts what has come of its datagram. */
static bool overlaps(const struct fragments *f, const struct assembly *a, uint32_t below, const struct packet *p, uint32_t size)
{
    uint32_t end = p->fragment_offset + size, above = below ? piece_of(f, below)->above : a->lowest;
    const struct piece *highest = a->highest ? piece_of(f, a->highest) : NULL;
    if (below && piece_of(f, below)->offset + piece_of(f, below)->size > p->fragment_offset)
        return true;
    if (above && end > piece_of(f, above)->offset)
        return true;
    if (a->end != UNKNOWN_END)
        return end > a->end || !p->more_fragments;
    return !p->more_fragments && highest && highest->offset + highest->size > end;
}

static void keep(struct engine *e, struct assembly *a, uint32_t below, const struct packet *p, uint64_t tag)
{
    struct fragments *f = e->fragments;
    uint32_t number = f->piece_free ? f->piece_free : ++f->piece_fresh;
    struct piece *piece = piece_of(f, number);
    if (number == f->piece_free)
        f->piece_free = piece->next;
    *piece = (struct piece){
        .tag = tag,
        .len = p->len,
        .offset = p->fragment_offset,
        .size = p->len - p->l4_offset,
        .at = p->l4_offset,
        .header = p->fragment_header,
        .announced = p->fragment_next,
        .big = p->len > PIECE_BYTES ? f->big_free[--f->big_count] : 0,
        .is_last = !p->more_fragments,
        .is_rebuilt = p->rebuilt,
    };
    memcpy(bytes_of(f, number), p->data, p->len);
    uint32_t *above = below ? &piece_of(f, below)->above : &a->lowest;
    piece->above = *above;
    *above = number;
    if (a->highest == below)
        a->highest = number;
    *(a->last ? &piece_of(f, a->last)->next : &a->first) = number;
    a->last = number;
    a->bytes += piece->size;
    a->wire_bytes += piece->len;
    a->count++;
    a->big += piece->big != 0;
    a->is_broadcast &= p->is_broadcast;
    if (!p->more_fragments)
        a->end = piece->offset + piece->size;
    if (!piece->offset)
        memcpy(a->mac, p->mac, sizeof a->mac);
    f->shares[a->share].weight++;
    f->shares[a->share].big += piece->big != 0;
    f->sources[a->source]++;
    f->held++;
    f->held_bytes += piece->len;
}

/* Bytes before the payload of the whole, which are the first fragment's without its fragment header. */
static uint16_t header_of(const struct assembly *a, const struct piece *first)
{
    return a->origin.family == 4 ? first->at : first->header;
}

/* Whether the whole would be longer than its header can say (the ping of death), as far as is known. */
static bool is_overlong(const struct fragments *f, const struct assembly *a)
{
    const struct piece *lowest = piece_of(f, a->lowest), *highest = piece_of(f, a->highest);
    uint32_t header = lowest->offset ? 0 : header_of(a, lowest);
    uint32_t counted = a->origin.family == 6 && header ? header - 40 : header; /* IPv6 does not count its own header */
    return counted + highest->offset + highest->size > UINT16_MAX;
}

/* Puts the whole together. */
static uint8_t *assemble(const struct fragments *f, struct assembly *a)
{
    const struct piece *first = piece_of(f, a->lowest);
    const uint8_t *bytes = bytes_of(f, a->lowest);
    uint8_t *ip = f->large + (uint64_t)BIG_PIECES * HELD_BYTES;
    a->header = header_of(a, first);
    a->whole_len = a->header + a->end;
    memcpy(ip, bytes, a->header);
    for (uint32_t number = a->lowest; number; number = piece_of(f, number)->above) {
        const struct piece *piece = piece_of(f, number);
        memcpy(ip + a->header + piece->offset, bytes_of(f, number) + piece->at, piece->size);
    }
    uint32_t announced = a->origin.family == 4 ? a->whole_len : a->whole_len - 40;
    uint8_t *length = ip + (a->origin.family == 4 ? 2 : 4);
    length[0] = (uint8_t)(announced >> 8);
    length[1] = (uint8_t)announced;
    if (a->origin.family == 6) {
        ip[first->announced] = bytes[first->header];
        return ip;
    }
    ip[6] &= 0xc0; /* all but "more fragments" and the offset */
    ip[7] = 0;
    memset(ip + 10, 0, 2);
    uint16_t sum = checksum_finish(checksum_add(0, ip, a->header));
    memcpy(ip + 10, &sum, sizeof sum);
    return ip;
}

static uint64_t tag_of(const struct fragments *f, const struct assembly *a)
{
    return 1ull << DATAGRAM_SHIFT | (uint64_t)a->generation << 32 | number_of(f, a);
}

static void finish(struct engine *e, struct assembly *a, struct datagram *whole)
{
    const struct fragments *f = e->fragments;
    leave(e, a);
    *whole = (struct datagram){
        .data = assemble(f, a),
        .len = a->whole_len,
        .tag = tag_of(f, a),
        .port = a->origin.port,
        .egress = a->origin.egress,
        .is_broadcast = a->is_broadcast,
        .is_reframed = a->origin.is_reframed,
        .fragments = a->count,
        .bytes = a->wire_bytes,
    };
    memcpy(whole->mac, a->mac, sizeof whole->mac);
    count(e, COUNTER_flow_ipfrag_reass);
}

uint32_t fragment_add(struct engine *e, const struct packet *p, uint64_t tag, struct datagram *whole)
{
    struct fragments *f = e->fragments;
    uint32_t size = p->len - p->l4_offset;
    struct origin origin = {
        .id = p->fragment_id,
        .port = p->port,
        .egress = p->egress,
        .family = p->key.family,
        .proto = p->key.family == 4 ? p->key.proto : 0,
        .is_reframed = p->reframed,
    };
    memcpy(origin.src, p->key.src, sizeof origin.src);
    memcpy(origin.dst, p->key.dst, sizeof origin.dst);
    whole->len = 0;
    count(e, COUNTER_flow_ipfrag_recv);
    struct assembly *a = find(e, &origin);
    if (a && a->refused)
        return a->refused;
    uint32_t below = a ? piece_below(f, a, p->fragment_offset) : NONE;
    if (a && is_duplicate(f, below, p, size))
        return COUNTER_flow_ipfrag_duplicate;
    if (a && overlaps(f, a, below, p, size))
        return refuse_all(e, a, COUNTER_flow_ipfrag_teardrop);
    if (!make_room(e, !a, p->len > PIECE_BYTES))
        return COUNTER_flow_ipfrag_limit;
    if (a && !a->count) /* it was its own datagram that had to go */
        return COUNTER_flow_ipfrag_limit;
    if (!a)
        a = begin(e, &origin);
    if (!p->fragment_offset && p->more_fragments && is_tiny(p))
        return refuse_all(e, a, COUNTER_flow_ipfrag_tiny);
    if (a->count == MAX_PIECES)
        return refuse_all(e, a, COUNTER_flow_ipfrag_limit);
    keep(e, a, below, p, tag);
    if (is_overlong(f, a)) /* takes the fragment just kept along, so nothing is left to say of it */
        refuse_all(e, a, COUNTER_flow_parse_ping_of_death);
    else if (a->bytes == a->end)
        finish(e, a, whole);
    return 0;
}

/* ---- verdicts ------------------------------------------------------------------------------------- */

/* Changes a fragment as the whole was changed. */
static void change(const struct assembly *a, uint8_t *ip, const struct piece *piece, const uint8_t *whole, bool marks)
{
    if (a->origin.family == 4) {
        memcpy(ip + 12, whole + 12, 8);
        if (marks)
            ip[1] = (uint8_t)((whole[1] & 0xfc) | (ip[1] & 3));
        memset(ip + 10, 0, 2);
        uint16_t sum = checksum_finish(checksum_add(0, ip, (ip[0] & 15) * 4u));
        memcpy(ip + 10, &sum, sizeof sum);
    } else {
        memcpy(ip + 8, whole + 8, 32);
        if (marks) {
            ip[0] = whole[0];
            ip[1] = (uint8_t)((whole[1] & 0xc0) | (ip[1] & 0x3f));
        }
    }
    memcpy(ip + piece->at, whole + a->header + piece->offset, piece->size);
}

/* Whether the whole has another DSCP than the first fragment had: two bits of congestion notification are each one's own. */
static bool is_marked(const struct assembly *a, const uint8_t *first, const uint8_t *whole)
{
    if (a->origin.family == 4)
        return (first[1] ^ whole[1]) & 0xfc;
    return (first[0] ^ whole[0]) & 0x0f || (first[1] ^ whole[1]) & 0xc0;
}

/* What has another length now (a SYN whose data were taken away) goes on whole, in place of the fragment that came first. False
 * where there is no buffer for it. */
static bool take_over(struct fragments *f, const struct assembly *a, struct verdict *v)
{
    struct piece *piece = piece_of(f, a->first);
    if (v->len > PIECE_BYTES && !piece->big) {
        if (!f->big_count)
            return false;
        piece->big = f->big_free[--f->big_count];
    }
    v->data = memcpy(bytes_of(f, a->first), v->data, v->len);
    return true;
}

void fragment_release(struct engine *e)
{
    struct fragments *f = e->fragments;
    struct verdict decided = e->verdicts[--e->verdict_count];
    struct assembly *a = assembly_of(f, (uint32_t)decided.tag);
    bool goes_on = decided.action == VERDICT_FORWARD || decided.action == VERDICT_HOST;
    bool is_another = goes_on && decided.len != a->whole_len;
    bool marks = goes_on && !is_another && is_marked(a, bytes_of(f, a->lowest), decided.data);
    f->held -= a->count;
    if (is_another && !take_over(f, a, &decided)) {
        count(e, COUNTER_flow_ipfrag_limit);
        decided = (struct verdict){.action = VERDICT_DROP, .reason = COUNTER_flow_ipfrag_limit, .session = decided.session};
        goes_on = is_another = false;
    }
    if (decided.action == VERDICT_DROP)
        e->counters[decided.reason] += a->count - 1u;
    if (decided.action == VERDICT_FORWARD && !is_another) {
        e->counters[COUNTER_pkt_sent] += a->count - 1u;
        e->stats.packets += a->count - 1u;
        e->stats.bytes += a->wire_bytes - a->whole_len;
    }
    for (uint32_t number = a->first, next; number; number = next) {
        struct piece *piece = piece_of(f, number);
        struct verdict *v = &e->verdicts[e->verdict_count++];
        next = piece->next;
        *v = decided;
        v->tag = piece->tag;
        f->held_bytes -= piece->len;
        if (is_another) {
            if (number != a->first)
                *v = (struct verdict){.action = VERDICT_CONSUMED, .tag = piece->tag, .session = decided.session};
        } else if (goes_on) {
            v->data = bytes_of(f, number);
            v->len = piece->len;
            v->changed = decided.changed || piece->is_rebuilt;
            if (decided.changed)
                change(a, bytes_of(f, number), piece, decided.data, marks);
        }
        if (!goes_on) {
            piece_release(f, number);
            continue;
        }
        piece->next = f->piece_done;
        f->piece_done = number;
    }
    assembly_release(f, a);
}

void fragment_verdicts_taken(struct engine *e)
{
    struct fragments *f = e->fragments;
    for (uint32_t number = f->piece_taken, next; number; number = next) {
        next = piece_of(f, number)->next;
        piece_release(f, number);
    }
    f->piece_taken = f->piece_done;
    f->piece_done = NONE;
}

/* ---- time ----------------------------------------------------------------------------------------- */

void fragment_expire(struct engine *e)
{
    struct fragments *f = e->fragments;
    while (f->oldest && assembly_of(f, f->oldest)->deadline_ns <= e->now_ns)
        give_up(e, assembly_of(f, f->oldest), COUNTER_flow_ipfrag_timeout);
}

int64_t fragment_next_ns(const struct engine *e)
{
    const struct fragments *f = e->fragments;
    return f->oldest ? assembly_of(f, f->oldest)->deadline_ns : INT64_MAX;
}

void fragment_stats(const struct engine *e, uint32_t *held, uint32_t *bytes)
{
    *held = e->fragments->held;
    *bytes = e->fragments->held_bytes;
}
