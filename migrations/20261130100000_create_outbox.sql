-- Creates the outbox: jobs that are added in the same transaction as the data that they are about.
--
-- Why:      a program that changes its data and adds a job would lose the job, or the data, if it died between the two. It writes the job
--           here instead, and a relay adds it to the engine, under an identifier that is made from the row's.
-- Lock:     none that matters: only a new table.
-- Way back: drop the table, once no row of it is unsent.

-- `place` is microseconds since 1970, each greater than the one before in the program that wrote it: rows of one transaction keep their
-- order, and those of several programs have it as far as their clocks agree.
CREATE TABLE outbox (
    id         TEXT   NOT NULL,
    place      BIGINT NOT NULL,
    queue      TEXT   NOT NULL,
    job        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    added_at   BIGINT,
    CONSTRAINT outbox_pk PRIMARY KEY (id),
    CONSTRAINT outbox_queue_is_named CHECK (length(queue) > 0)
);

-- The ones that the relay still has to add, in their order; added rows cost it nothing.
CREATE INDEX outbox_unsent ON outbox (place, id) WHERE added_at IS NULL;
-- For forgetting old ones.
CREATE INDEX outbox_by_age ON outbox (added_at);
