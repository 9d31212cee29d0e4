/* What senders have sent, against arrays as long as everything they send. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "overlap.h"
#include "random.h"

enum { STREAM = 1 << 19, UNKNOWN = -1, FLOWS = 3, LONGEST = 65535 };

/* A sender whose sequence numbers begin at `isn`: every byte it has sent, and the end of what it has. */
struct sender {
    uint32_t ref, isn, top;
    bool is_kept;
    int16_t sent[STREAM];
};

static struct overlaps *overlaps;
static struct sender senders[FLOWS];

static uint32_t bottom_of(const struct sender *s)
{
    return s->top > OVERLAP_BYTES ? s->top - OVERLAP_BYTES : 0;
}

static bool should_differ(const struct sender *s, uint32_t at, const uint8_t *data, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if (at + i >= bottom_of(s) && at + i < s->top && s->sent[at + i] != UNKNOWN && s->sent[at + i] != data[i])
            return true;
    return false;
}

static void remember(struct sender *s, uint32_t at, const uint8_t *data, uint32_t len)
{
    uint32_t bottom = s->is_kept ? bottom_of(s) : at; /* nothing is known of what was before */
    if (!s->is_kept)
        s->top = at;
    s->is_kept = true;
    for (uint32_t i = 0; i < len; i++)
        if (at + i >= bottom)
            s->sent[at + i] = data[i];
    if (at + len > s->top)
        s->top = at + len;
}

static void begin(struct random *r)
{
    overlap_forget_all(overlaps);
    for (uint32_t i = 0; i < FLOWS; i++) {
        senders[i].ref = 2 + i * OVERLAP_BUCKETS; /* one bucket for all */
        senders[i].isn = (uint32_t)random_next(r) | 0xfff00000; /* numbers come round on the way */
        senders[i].top = 0;
        senders[i].is_kept = false;
        for (uint32_t k = 0; k < STREAM; k++)
            senders[i].sent[k] = UNKNOWN;
    }
}

/* Segments in order, again, before their turn, too old, of every length; some of them with another byte. */
static void random_segments(void)
{
    static uint8_t data[LONGEST];
    struct random r = {4711};
    for (int history = 0; history < 20; history++) {
        begin(&r);
        for (int step = 0; step < 300; step++) {
            struct sender *s = &senders[random_below(&r, FLOWS)];
            uint32_t len = 1 + random_below(&r, random_below(&r, 8) ? 3000 : LONGEST);
            uint32_t back = random_below(&r, 3) ? 0 : random_below(&r, OVERLAP_BYTES + 9000);
            uint32_t ahead = random_below(&r, 6) ? 0 : random_below(&r, random_below(&r, 4) ? 4000 : OVERLAP_BYTES + 9000);
            uint32_t at = (s->is_kept ? s->top : 100000) + ahead;
            at = at > back ? at - back : 0;
            if (at + len > STREAM)
                continue;
            for (uint32_t i = 0; i < len; i++)
                data[i] = (uint8_t)((at + i) * 2654435761u >> 24);
            if (!random_below(&r, 4))
                data[random_below(&r, len)] ^= (uint8_t)(1 + random_below(&r, 255));
            bool differs = should_differ(s, at, data, len), is_old = s->is_kept && at < bottom_of(s);
            CHECK(overlap_differs(overlaps, s->ref, s->isn + at, data, len) == differs);
            if (differs)
                continue;
            CHECK(overlap_keep(overlaps, s->ref, s->isn + at, data, len) == !is_old);
            remember(s, at, data, len);
        }
    }
}

static void the_flow_that_was_silent_longest_is_forgotten(void)
{
    static const uint8_t said[] = "said", other[] = "sold";
    overlap_forget_all(overlaps);
    for (uint32_t ref = 2; ref < 2 + OVERLAP_FLOWS; ref++)
        CHECK(overlap_keep(overlaps, ref, 1000, said, 4));
    CHECK(overlap_keep(overlaps, 2, 1000, said, 4)); /* it speaks again */
    CHECK(!overlap_keep(overlaps, 9999, 1000, said, 4));
    CHECK(overlap_differs(overlaps, 2, 1000, other, 4) && overlap_differs(overlaps, 9999, 1000, other, 4));
    CHECK(!overlap_differs(overlaps, 3, 1000, other, 4));
    CHECK(overlap_differs(overlaps, 4, 1000, other, 4));
    overlap_forget(overlaps, 4);
    overlap_forget(overlaps, 4);
    CHECK(!overlap_differs(overlaps, 4, 1000, other, 4));
    CHECK(overlap_keep(overlaps, 3, 1000, other, 4)); /* there is room again */
    CHECK(overlap_differs(overlaps, 3, 1000, said, 4) && overlap_differs(overlaps, 5, 1000, other, 4));
    overlap_forget_all(overlaps);
    CHECK(!overlap_differs(overlaps, 5, 1000, other, 4));
}

int main(void)
{
    overlaps = calloc(1, sizeof *overlaps);
    random_segments();
    the_flow_that_was_silent_longest_is_forgotten();
    free(overlaps);
    return check_report();
}
