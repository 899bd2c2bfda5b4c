-- Lets webhooks be told: how far the event streams were read, rounds of deliveries, and the secret of before a rotation.
--
-- Why:      the relay reads each queue's events from where the last one stopped; a delivery that is sent anew must not meet attempts of
--           before; a receiver accepts messages while its secret changes.
-- Lock:     none that matters: columns with a constant default, and a new table.
-- Way back: drop the table and the columns; what is under way is sent by its first round then.

ALTER TABLE webhooks ADD COLUMN old_secret TEXT;
ALTER TABLE webhooks ADD COLUMN old_secret_until BIGINT;

-- 0 at first, and one more each time a delivery is sent anew.
ALTER TABLE webhook_deliveries ADD COLUMN round BIGINT NOT NULL DEFAULT 0;

-- The place in a queue's event stream up to which webhooks have been told, and the engine's time there: with a place that has fallen out of
-- the stream, the time says what to look for among the finished jobs.
CREATE TABLE webhook_positions (
    queue    TEXT   NOT NULL,
    position BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    CONSTRAINT webhook_positions_pk PRIMARY KEY (queue),
    CONSTRAINT webhook_positions_queue_is_named CHECK (length(queue) > 0)
);
