-- Lets the outbox keep what cannot become a job.
--
-- Why:      a row that the engine refuses (its queue is not known, its data are too long) would be tried again for ever, before all that came
--           after it. It is kept with the reason instead, out of the relay's way.
-- Lock:     keeps writers of outbox out while its index is built anew; few rows are unsent at any time.
-- Way back: drop the two columns and outbox_refused, and make outbox_unsent as it was.

ALTER TABLE outbox ADD COLUMN refused_at BIGINT;
ALTER TABLE outbox ADD COLUMN reason TEXT;

DROP INDEX outbox_unsent;
CREATE INDEX outbox_unsent ON outbox (place, id) WHERE added_at IS NULL AND refused_at IS NULL;
-- For forgetting, and for whoever looks after them.
CREATE INDEX outbox_refused ON outbox (refused_at) WHERE refused_at IS NOT NULL;
