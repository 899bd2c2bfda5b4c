-- Creates what the HTTP API keeps of its own: keys, stream tickets, job templates, and webhooks with their deliveries.
--
-- Why:      machines call the API with keys that are issued, listed and revoked; a browser's event stream cannot send a header, so
--           it is opened with a ticket; templates and webhooks belong to users and outlive the jobs they are about.
-- Lock:     none that matters: only new tables.
-- Way back: drop the tables in the reverse of this order; nothing else refers to them.
--
-- As in the first migration: one text for SQLite and PostgreSQL, instants are BIGINT milliseconds since 1970 (UTC), identifiers are
-- TEXT, and JSON is TEXT.

-- Keys of programs that call the API. Of the key itself only the SHA-256 of its secret part is here, so that this table, or a
-- backup of it, opens nothing. A revoked key stays: who had which key when is worth knowing.
CREATE TABLE api_keys (
    id           TEXT   NOT NULL,
    tenant       TEXT   NOT NULL,
    owner        TEXT   NOT NULL,
    role         TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    prefix       TEXT   NOT NULL,
    secret_hash  TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    revoked_at   BIGINT,
    CONSTRAINT api_keys_pk PRIMARY KEY (id),
    CONSTRAINT api_keys_prefix_is_unique UNIQUE (prefix),
    CONSTRAINT api_keys_prefix_has_12_characters CHECK (length(prefix) = 12),
    CONSTRAINT api_keys_secret_hash_is_hex CHECK (length(secret_hash) = 64),
    CONSTRAINT api_keys_role_is_known CHECK (role IN ('user', 'viewer', 'admin')),
    CONSTRAINT api_keys_owner_is_named CHECK (length(tenant) > 0 AND length(owner) > 0),
    CONSTRAINT api_keys_end_follows_beginning CHECK (expires_at > created_at)
);

CREATE INDEX api_keys_by_owner ON api_keys (tenant, owner, id);

-- Tickets that open one event stream each, within seconds. Taken out when they are used; those that nobody used are swept when the
-- next one is issued. `valid_until` is the end of the credentials that a ticket was made with: the stream ends with them.
CREATE TABLE stream_tickets (
    ticket_hash TEXT   NOT NULL,
    tenant      TEXT   NOT NULL,
    owner       TEXT   NOT NULL,
    role        TEXT   NOT NULL,
    valid_until BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    CONSTRAINT stream_tickets_pk PRIMARY KEY (ticket_hash),
    CONSTRAINT stream_tickets_ticket_hash_is_hex CHECK (length(ticket_hash) = 64),
    CONSTRAINT stream_tickets_role_is_known CHECK (role IN ('user', 'viewer', 'admin')),
    CONSTRAINT stream_tickets_owner_is_named CHECK (length(tenant) > 0 AND length(owner) > 0)
);

CREATE INDEX stream_tickets_by_end ON stream_tickets (expires_at);

-- Jobs to be added again and again: everything but the moment. `version` grows with each change, so that two people who edit one
-- template do not undo each other's work unseen.
CREATE TABLE templates (
    id          TEXT   NOT NULL,
    tenant      TEXT   NOT NULL,
    owner       TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    queue       TEXT   NOT NULL,
    job_name    TEXT   NOT NULL,
    data        TEXT   NOT NULL,
    options     TEXT   NOT NULL,
    description TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    CONSTRAINT templates_pk PRIMARY KEY (id),
    CONSTRAINT templates_name_is_unique_per_owner UNIQUE (tenant, owner, name),
    CONSTRAINT templates_name_is_not_empty CHECK (length(name) > 0),
    CONSTRAINT templates_version_is_positive CHECK (version >= 1)
);

CREATE INDEX templates_by_owner ON templates (tenant, owner, id);

-- Addresses that are told what happens to a user's jobs. `secret` signs what is sent and is sealed by the API before it comes here.
CREATE TABLE webhooks (
    id              TEXT    NOT NULL,
    tenant          TEXT    NOT NULL,
    owner           TEXT    NOT NULL,
    url             TEXT    NOT NULL,
    events          TEXT    NOT NULL,
    secret          TEXT    NOT NULL,
    enabled         BOOLEAN NOT NULL,
    disabled_reason TEXT,
    created_at      BIGINT  NOT NULL,
    updated_at      BIGINT  NOT NULL,
    CONSTRAINT webhooks_pk PRIMARY KEY (id),
    CONSTRAINT webhooks_reason_is_of_a_disabled_one CHECK (disabled_reason IS NULL OR NOT enabled)
);

CREATE INDEX webhooks_by_owner ON webhooks (tenant, owner, id);

-- What a webhook was told, or is to be told. A delivery keeps its identifier over all attempts, so that a receiver can tell a repeat.
CREATE TABLE webhook_deliveries (
    id              TEXT   NOT NULL,
    webhook         TEXT   NOT NULL,
    event           TEXT   NOT NULL,
    job             TEXT,
    payload         TEXT   NOT NULL,
    attempt         BIGINT NOT NULL,
    status          TEXT   NOT NULL,
    response_status BIGINT,
    error           TEXT,
    created_at      BIGINT NOT NULL,
    next_at         BIGINT,
    delivered_at    BIGINT,
    CONSTRAINT webhook_deliveries_pk PRIMARY KEY (id),
    CONSTRAINT webhook_deliveries_of_a_webhook FOREIGN KEY (webhook) REFERENCES webhooks (id) ON DELETE CASCADE,
    CONSTRAINT webhook_deliveries_status_is_known CHECK (status IN ('pending', 'delivered', 'failed')),
    CONSTRAINT webhook_deliveries_pending_has_a_time CHECK ((status = 'pending') = (next_at IS NOT NULL)),
    CONSTRAINT webhook_deliveries_delivered_has_a_time CHECK ((status = 'delivered') = (delivered_at IS NOT NULL)),
    CONSTRAINT webhook_deliveries_attempt_is_not_negative CHECK (attempt >= 0)
);

CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook, created_at, id);
-- The next ones to be sent: settled deliveries have no `next_at`.
CREATE INDEX webhook_deliveries_by_turn ON webhook_deliveries (status, next_at);
-- For forgetting old ones.
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (created_at);
