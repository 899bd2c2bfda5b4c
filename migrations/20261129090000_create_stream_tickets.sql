-- Creates what lets a browser open one stream of events without a header.
--
-- Why:      an EventSource cannot send a bearer token, and a token in an address ends up in logs. A ticket is good for a minute and for
--           one stream, whichever process of the API it reaches, so it is kept where all of them look.
-- Lock:     none that matters: only a new table.
-- Way back: drop the table.

-- `hash` is of the ticket's text, so that a copy of this table opens nothing.
CREATE TABLE stream_tickets (
    hash       TEXT   NOT NULL,
    tenant     TEXT   NOT NULL,
    owner      TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    valid_until BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT stream_tickets_pk PRIMARY KEY (hash)
);

CREATE INDEX stream_tickets_by_end ON stream_tickets (expires_at);
