-- Creates what the sums of observations are kept in.
--
-- Why:      reading a year of a publisher's impressions means reading every one of them; their sums by hour, day, week and month
--           (rollups) are made by jobs and read by everybody. The number of replacements (rollup_versions) tells a job that what it
--           has read may be older than what another has written meanwhile.
-- Lock:     none that matters: only new tables.
-- Way back: drop the two tables; nothing else refers to them, and jobs make the sums anew.
--
-- The same text runs on SQLite and on PostgreSQL; the types are those of the tables before.

-- The values of one metric of one entity in one bucket: `bucket` is its first moment and `bucket_end` the one after its last, both ms
-- since 1970, as the entity's time zone had them when the sums were made. Two hours of one name, when clocks are set back, are two buckets.
-- `derived` is JSON: what comes of dividing this sum by another of the same bucket, such as clicks by impressions.
CREATE TABLE rollups (
    entity      TEXT   NOT NULL,
    granularity TEXT   NOT NULL,
    bucket      BIGINT NOT NULL,
    metric      TEXT   NOT NULL,
    bucket_end  BIGINT NOT NULL,
    count       BIGINT NOT NULL,
    sum         DOUBLE PRECISION NOT NULL,
    min         DOUBLE PRECISION NOT NULL,
    max         DOUBLE PRECISION NOT NULL,
    p50         DOUBLE PRECISION NOT NULL,
    p90         DOUBLE PRECISION NOT NULL,
    derived     TEXT   NOT NULL,
    CONSTRAINT rollups_pk PRIMARY KEY (entity, granularity, bucket, metric),
    CONSTRAINT rollups_of_an_entity FOREIGN KEY (entity) REFERENCES entities (id) ON DELETE CASCADE,
    CONSTRAINT rollups_granularity_is_known CHECK (granularity IN ('hour', 'day', 'week', 'month')),
    CONSTRAINT rollups_buckets_last CHECK (bucket_end > bucket),
    CONSTRAINT rollups_are_of_something CHECK (count >= 1)
);

-- How often the rollups of an entity were replaced.
CREATE TABLE rollup_versions (
    entity      TEXT   NOT NULL,
    granularity TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    CONSTRAINT rollup_versions_pk PRIMARY KEY (entity, granularity),
    CONSTRAINT rollup_versions_of_an_entity FOREIGN KEY (entity) REFERENCES entities (id) ON DELETE CASCADE
);
