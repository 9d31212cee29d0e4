/* cookie.h - SYN cookies: connections that are answered for the server until the client has proved that it exists. */
#ifndef SIXTUPLE_COOKIE_H
#define SIXTUPLE_COOKIE_H

#include "packet.h"

struct engine;
struct session;

/* What a session keeps whose handshake the engine made with the client before it made one with the server. */
struct proxied {
    uint32_t sequence;  /* our first sequence number; once the server has answered, ours minus the server's */
    uint32_t timestamp; /* likewise, of the timestamps option */
    uint8_t scale[2];   /* of the windows the client and the server offer, as each has said; NO_SCALE: they do not scale */
    uint8_t options;    /* cookie.c */
    bool is_open;       /* the server has answered */
    uint8_t probes;     /* the client got, or still gets none */
    uint8_t mac[6];     /* the client's, until the server has answered */
    uint32_t heard;     /* the client's timestamp, until then */
};

/* Whether a cookie can stand for the server of this SYN: not where nothing may be sent (a tap), not for the firewall itself,
 * whose answers do not come by here, and not for what is no single host. */
bool cookie_fits(const struct engine *e, const struct packet *p);
/* Answers a SYN with a cookie instead of asking anybody; false where there was no buffer. */
bool cookie_answer(struct engine *e, const struct packet *p, uint64_t tag);
/* Whether an ACK that matches no session is one that a cookie asked for; then p->cookie says what it was asked with. */
bool cookie_accept(struct engine *e, struct packet *p);
/* Of a session just installed for the ACK p of a cookie: the SYN to the server is made of it and takes its place. */
void cookie_open(struct engine *e, uint32_t slot, struct packet *p, uint64_t tag);
/* A packet of a proxied session, before it is followed: true where it was dealt with. Else its numbers are the server's
 * afterwards, in what was parsed as in the bytes the client's packets carry; *changed where bytes were. */
bool cookie_inbound(struct engine *e, uint32_t slot, enum direction direction, struct packet *p, uint64_t tag, bool *changed);
/* The same packet when it leaves: numbers as the client knows them. Whether bytes were changed. */
bool cookie_outbound(struct engine *e, uint32_t slot, enum direction direction, struct packet *p);
/* An ICMP error that goes the way of a flow of a proxied session: numbers of the TCP header it quotes as its receiver
 * knows them. Whether bytes were changed; checksums are complete then. */
bool cookie_quoted(const struct session *s, enum direction direction, const struct packet *p);
/* A proxied session the ager looks at: whoever waits for the server is asked to speak again. */
void cookie_remind(struct engine *e, uint32_t slot);
/* A sequence number of the server's as the client of a proxied session knows it. */
uint32_t cookie_told(const struct session *s, uint32_t sequence);

#endif
