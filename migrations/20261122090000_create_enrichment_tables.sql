-- Creates what an upload, its enrichment and the reading back of it need.
--
-- Why:      the first tables of the domain: things (entities), what was seen of them over time (observations), the calendar and
--           weather of their days (features and the two caches that fill it), files, job results and the fences of job writes.
-- Lock:     none that matters: only new tables.
-- Way back: drop the tables in the reverse of this order; nothing else refers to them.
--
-- The same text runs on SQLite and on PostgreSQL. Instants are BIGINT milliseconds since 1970 (UTC), calendar days are TEXT
-- `YYYY-MM-DD` (they sort as they should and belong to no time zone), identifiers are TEXT, and JSON is TEXT.

-- The thing that is watched: a property, a product, a park. `kind` is open (the programs know the list), so that a new kind
-- needs no migration.
CREATE TABLE entities (
    id         TEXT   NOT NULL,
    tenant     TEXT   NOT NULL,
    owner      TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    latitude   DOUBLE PRECISION,
    longitude  DOUBLE PRECISION,
    country    TEXT,
    time_zone  TEXT,
    attributes TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT entities_pk PRIMARY KEY (id),
    CONSTRAINT entities_latitude_in_range CHECK (latitude >= -90 AND latitude <= 90),
    CONSTRAINT entities_longitude_in_range CHECK (longitude >= -180 AND longitude <= 180),
    CONSTRAINT entities_location_is_whole CHECK ((latitude IS NULL) = (longitude IS NULL)),
    CONSTRAINT entities_country_has_two_letters CHECK (length(country) = 2)
);

CREATE INDEX entities_by_owner ON entities (tenant, owner, kind, id);

-- Every time series. The natural key makes an import that runs twice leave what one run leaves.
CREATE TABLE observations (
    entity TEXT   NOT NULL,
    metric TEXT   NOT NULL,
    ts     BIGINT NOT NULL,
    value  DOUBLE PRECISION NOT NULL,
    CONSTRAINT observations_pk PRIMARY KEY (entity, metric, ts),
    CONSTRAINT observations_of_an_entity FOREIGN KEY (entity) REFERENCES entities (id) ON DELETE CASCADE
);

-- One row per day of an entity: weather, holidays and the calendar, beside which its observations are analysed.
CREATE TABLE features (
    entity             TEXT    NOT NULL,
    day                TEXT    NOT NULL,
    temperature_max_c  DOUBLE PRECISION,
    temperature_min_c  DOUBLE PRECISION,
    temperature_mean_c DOUBLE PRECISION,
    precipitation_mm   DOUBLE PRECISION,
    wind_speed_max_kmh DOUBLE PRECISION,
    sunshine_s         DOUBLE PRECISION,
    weather_code       BIGINT,
    public_holiday     TEXT,
    school_holiday     TEXT,
    days_to_holiday    BIGINT,
    days_since_holiday BIGINT,
    long_weekend       BOOLEAN NOT NULL,
    weekday            BIGINT  NOT NULL,
    weekend            BOOLEAN NOT NULL,
    month              BIGINT  NOT NULL,
    season             TEXT    NOT NULL,
    iso_week           BIGINT  NOT NULL,
    updated_at         BIGINT  NOT NULL,
    CONSTRAINT features_pk PRIMARY KEY (entity, day),
    CONSTRAINT features_of_an_entity FOREIGN KEY (entity) REFERENCES entities (id) ON DELETE CASCADE,
    CONSTRAINT features_day_is_a_date CHECK (length(day) = 10),
    CONSTRAINT features_weekday_in_range CHECK (weekday >= 1 AND weekday <= 7),
    CONSTRAINT features_month_in_range CHECK (month >= 1 AND month <= 12),
    CONSTRAINT features_iso_week_in_range CHECK (iso_week >= 1 AND iso_week <= 53)
);

-- Weather already fetched, shared by all jobs: a grid cell (tenths of a degree) and a day. A row whose values are all NULL
-- says that the source was asked and has nothing.
CREATE TABLE weather_days (
    cell_latitude      BIGINT  NOT NULL,
    cell_longitude     BIGINT  NOT NULL,
    day                TEXT    NOT NULL,
    temperature_max_c  DOUBLE PRECISION,
    temperature_min_c  DOUBLE PRECISION,
    temperature_mean_c DOUBLE PRECISION,
    precipitation_mm   DOUBLE PRECISION,
    wind_speed_max_kmh DOUBLE PRECISION,
    sunshine_s         DOUBLE PRECISION,
    weather_code       BIGINT,
    observed           BOOLEAN NOT NULL,
    fetched_at         BIGINT  NOT NULL,
    CONSTRAINT weather_days_pk PRIMARY KEY (cell_latitude, cell_longitude, day),
    CONSTRAINT weather_days_day_is_a_date CHECK (length(day) = 10)
);

-- Public and school holidays, one row a day; region '' is the whole country.
CREATE TABLE holidays (
    country TEXT NOT NULL,
    kind    TEXT NOT NULL,
    region  TEXT NOT NULL,
    day     TEXT NOT NULL,
    name    TEXT NOT NULL,
    CONSTRAINT holidays_pk PRIMARY KEY (country, kind, day, region, name),
    CONSTRAINT holidays_kind_is_known CHECK (kind IN ('public', 'school')),
    CONSTRAINT holidays_country_has_two_letters CHECK (length(country) = 2),
    CONSTRAINT holidays_day_is_a_date CHECK (length(day) = 10)
);

-- Which years of a country are in `holidays`: a year without a holiday and a year never asked for must not look alike.
CREATE TABLE holiday_years (
    country    TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    year       BIGINT NOT NULL,
    fetched_at BIGINT NOT NULL,
    CONSTRAINT holiday_years_pk PRIMARY KEY (country, kind, year),
    CONSTRAINT holiday_years_kind_is_known CHECK (kind IN ('public', 'school'))
);

-- Who is fetching what from the outside world at the moment, so that two jobs do not fetch the same at once. A claim ends by
-- itself at `expires_at`: its holder may have died.
CREATE TABLE fetch_claims (
    subject    TEXT   NOT NULL,
    holder     TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT fetch_claims_pk PRIMARY KEY (subject)
);

-- Uploads and what jobs make. The bytes are in the object store under `object_key`, a name of our own making.
CREATE TABLE files (
    id           TEXT   NOT NULL,
    tenant       TEXT   NOT NULL,
    owner        TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    display_name TEXT   NOT NULL,
    size         BIGINT NOT NULL,
    sha256       TEXT   NOT NULL,
    content_type TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    object_key   TEXT   NOT NULL,
    entity       TEXT,
    problem      TEXT,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    CONSTRAINT files_pk PRIMARY KEY (id),
    CONSTRAINT files_object_key_is_unique UNIQUE (object_key),
    CONSTRAINT files_state_is_known CHECK (state IN ('pending', 'processing', 'completed', 'failed')),
    CONSTRAINT files_size_is_not_negative CHECK (size >= 0),
    CONSTRAINT files_sha256_is_hex CHECK (length(sha256) = 64),
    CONSTRAINT files_about_an_entity FOREIGN KEY (entity) REFERENCES entities (id) ON DELETE SET NULL
);

CREATE INDEX files_by_owner ON files (tenant, owner, created_at, id);
CREATE INDEX files_by_entity ON files (entity);

-- The result document of any job, written under the job's fence before the job is settled.
CREATE TABLE results (
    job        TEXT   NOT NULL,
    tenant     TEXT   NOT NULL,
    owner      TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    run        BIGINT NOT NULL,
    document   TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT results_pk PRIMARY KEY (job)
);

CREATE INDEX results_by_owner ON results (tenant, owner, kind, updated_at);

-- The newest run of each job that has written. A write of an older run, or of another holder of the same run, is refused.
CREATE TABLE job_fences (
    job        TEXT   NOT NULL,
    run        BIGINT NOT NULL,
    nonce      TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT job_fences_pk PRIMARY KEY (job),
    CONSTRAINT job_fences_run_is_positive CHECK (run >= 1)
);

CREATE INDEX job_fences_by_age ON job_fences (updated_at);
