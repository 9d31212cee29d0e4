/* tcp_options.c - the one walker over TCP options. */
#include "tcp_options.h"

#include <stddef.h>

struct tcp_options tcp_options_of(const struct packet *p)
{
    return (struct tcp_options){.at = p->data + p->l4_offset + TCP_HEADER, .end = p->data + p->payload_offset};
}

uint8_t *tcp_option_next(struct tcp_options *walk)
{
    while (walk->at < walk->end && *walk->at == TCP_OPTION_NOP)
        walk->at++;
    uint8_t *option = walk->at;
    if (walk->end - option < 2 || *option == TCP_OPTION_END || option[1] < 2 || option[1] > walk->end - option) {
        walk->at = walk->end;
        return NULL;
    }
    walk->at += option[1];
    return option;
}

uint8_t *tcp_option_find(const struct packet *p, enum tcp_option kind, uint8_t len)
{
    struct tcp_options walk = tcp_options_of(p);
    for (uint8_t *option; (option = tcp_option_next(&walk));)
        if (*option == kind && option[1] == len)
            return option;
    return NULL;
}
