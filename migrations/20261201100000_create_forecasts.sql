-- Keeps forecasts: one a job, with its points.
--
-- Why:      what the forecast worker makes is read by its owner, as a whole and as the latest of a product; a document in `results` could be
--           found by its job alone.
-- Lock:     none; the tables are new.
-- Way back: drop both tables. What a job's own result says of its forecast stays.

CREATE TABLE forecasts (
    id          TEXT   NOT NULL,
    entity      TEXT   NOT NULL,
    job         TEXT   NOT NULL,
    run         BIGINT NOT NULL,
    metric      TEXT   NOT NULL,
    -- The distance of two points.
    step        TEXT   NOT NULL,
    horizon     BIGINT NOT NULL,
    season      BIGINT,
    -- The first and the last day of the history that it was made from, and how many of them had a value.
    first_day   TEXT   NOT NULL,
    last_day    TEXT   NOT NULL,
    observed    BIGINT NOT NULL,
    -- Errors of the backtest; MAPE, sMAPE and the coverages in percent.
    mape        DOUBLE PRECISION,
    mase        DOUBLE PRECISION NOT NULL,
    smape       DOUBLE PRECISION NOT NULL,
    coverage80  DOUBLE PRECISION NOT NULL,
    coverage95  DOUBLE PRECISION NOT NULL,
    -- Models, cleaning and notes, JSON.
    details     TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    CONSTRAINT forecasts_pk PRIMARY KEY (id),
    CONSTRAINT forecasts_one_a_job UNIQUE (job),
    CONSTRAINT forecasts_of_an_entity FOREIGN KEY (entity) REFERENCES entities (id) ON DELETE CASCADE,
    CONSTRAINT forecasts_step_is_known CHECK (step IN ('day', 'week', 'month')),
    CONSTRAINT forecasts_days_are_dates CHECK (length(first_day) = 10 AND length(last_day) = 10),
    CONSTRAINT forecasts_horizon_is_positive CHECK (horizon >= 1)
);

CREATE INDEX forecasts_by_entity ON forecasts (entity, created_at, id);

CREATE TABLE forecast_points (
    forecast TEXT NOT NULL,
    day      TEXT NOT NULL,
    mean     DOUBLE PRECISION NOT NULL,
    low80    DOUBLE PRECISION NOT NULL,
    high80   DOUBLE PRECISION NOT NULL,
    low95    DOUBLE PRECISION NOT NULL,
    high95   DOUBLE PRECISION NOT NULL,
    CONSTRAINT forecast_points_pk PRIMARY KEY (forecast, day),
    CONSTRAINT forecast_points_of_a_forecast FOREIGN KEY (forecast) REFERENCES forecasts (id) ON DELETE CASCADE,
    CONSTRAINT forecast_points_day_is_a_date CHECK (length(day) = 10)
);
