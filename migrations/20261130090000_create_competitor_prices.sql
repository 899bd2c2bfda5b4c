-- Creates what reading the prices of competitors needs.
--
-- Why:      the history of what competitors asked for a stay (competitor_prices), the pages it was read from with what tells
--           whether they changed (competitor_pages), and when each site may be asked again by whichever process (site_turns).
-- Lock:     none that matters: only new tables.
-- Way back: drop the three tables; nothing else refers to them.
--
-- The same text runs on SQLite and on PostgreSQL; the types are those of the tables before. Money is BIGINT millionths of a
-- currency's unit, so that sums are exact in every currency.

-- One price of one competitor for one stay, as it was on one day (UTC). The competitor may be deleted, and its history stays;
-- the history goes with the property. `price` is per night in `currency`, the property's; NULL says that nothing was free.
-- What the page itself showed stands beside it, with the rate and the day of the rate that it was changed by.
CREATE TABLE competitor_prices (
    property       TEXT    NOT NULL,
    competitor     TEXT    NOT NULL,
    check_in       TEXT    NOT NULL,
    check_out      TEXT    NOT NULL,
    adults         BIGINT  NOT NULL,
    seen_on        TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    url            TEXT    NOT NULL,
    price          BIGINT,
    currency       TEXT    NOT NULL,
    shown          BIGINT,
    shown_currency TEXT,
    rate           DOUBLE PRECISION,
    rates_day      TEXT,
    room           TEXT,
    job            TEXT    NOT NULL,
    seen_at        BIGINT  NOT NULL,
    CONSTRAINT competitor_prices_pk PRIMARY KEY (property, competitor, check_in, check_out, adults, seen_on),
    CONSTRAINT competitor_prices_of_a_property FOREIGN KEY (property) REFERENCES entities (id) ON DELETE CASCADE,
    CONSTRAINT competitor_prices_stay_has_nights CHECK (check_out > check_in),
    CONSTRAINT competitor_prices_days_are_dates
        CHECK (length(check_in) = 10 AND length(check_out) = 10 AND length(seen_on) = 10),
    CONSTRAINT competitor_prices_adults_are_some CHECK (adults >= 1),
    CONSTRAINT competitor_prices_price_is_positive CHECK (price > 0),
    CONSTRAINT competitor_prices_shown_is_whole CHECK ((price IS NULL) = (shown IS NULL)),
    CONSTRAINT competitor_prices_currency_has_three_letters CHECK (length(currency) = 3)
);

-- A job that runs again first takes back what it wrote the time before.
CREATE INDEX competitor_prices_by_job ON competitor_prices (job);

-- What was read from a page, and what tells whether the page changed since. `page` is a hash of its address and of the rules
-- that it was read by. `document` is JSON text.
CREATE TABLE competitor_pages (
    page          TEXT   NOT NULL,
    etag          TEXT,
    last_modified TEXT,
    document      TEXT   NOT NULL,
    fetched_at    BIGINT NOT NULL,
    CONSTRAINT competitor_pages_pk PRIMARY KEY (page)
);

CREATE INDEX competitor_pages_by_age ON competitor_pages (fetched_at);

-- When a site (scheme, host and port) may be asked again.
CREATE TABLE site_turns (
    site    TEXT   NOT NULL,
    next_at BIGINT NOT NULL,
    CONSTRAINT site_turns_pk PRIMARY KEY (site)
);

CREATE INDEX site_turns_by_age ON site_turns (next_at);
