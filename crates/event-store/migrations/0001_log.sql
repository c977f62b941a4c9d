-- The log: two append-only tables, and who may do what with them.
-- Shapes and reasons: docs/ARCHITECTURE.md, "The log".

CREATE SCHEMA IF NOT EXISTS counterfoil;

-- One row when the log is created, one more each time an operator declares a restored copy to be the log.
-- The highest counts. log_id of incarnation 1 is the root of every shard's hash chain.
CREATE TABLE counterfoil.incarnations (
    incarnation integer     NOT NULL,
    log_id      uuid        NOT NULL,
    shards      smallint    NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT incarnations_pkey PRIMARY KEY (incarnation),
    CONSTRAINT incarnations_log_id_key UNIQUE (log_id),
    CONSTRAINT incarnations_shards_check CHECK (shards BETWEEN 1 AND 1024)
);

-- The spine. Inserting the next row is the compare-and-set on the head of the shard.
CREATE TABLE counterfoil.batches (
    first_position bigint      NOT NULL,
    last_position  bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL, -- by this server's clock, never less than the batch before
    attempt        uuid        NOT NULL, -- random: no two attempts to append are the same, even of the same rows
    accounts       integer     NOT NULL, -- accounts ever opened in the shard, this batch included
    shard          smallint    NOT NULL,
    format         smallint    NOT NULL, -- how the digest encodes rows
    digest         bytea       NOT NULL, -- of the batch before, and of every row of this one; made by the writer
    hash           bytea       NOT NULL, -- of the hash before, the digest, the positions and recorded_at; made by append()
    CONSTRAINT batches_pkey PRIMARY KEY (shard, first_position) -- all else is append()'s own arithmetic
);

-- One row per account touched. NULL where nothing is said: narrow rows are fast rows.
-- Columns are ordered by width, so that none is lost to alignment.
-- No foreign key to batches: append() inserts both, and the log never deletes.
CREATE TABLE counterfoil.events (
    position        bigint NOT NULL,
    -- How the account stands after this row.
    version         bigint NOT NULL,
    balance         bigint NOT NULL,
    amount          bigint,            -- money moved, positive; the event type gives the direction
    held            bigint,            -- NULL is 0
    overdraft_limit bigint,            -- NULL is 0
    peer_position   bigint,            -- of a transfer, the other side's row
    effective_at    timestamptz,
    account         integer  NOT NULL, -- counted per shard from 1
    shard           smallint NOT NULL,
    event_type      smallint NOT NULL, -- named in event_types
    status          smallint NOT NULL, -- 1 open, 2 frozen, 3 closed
    peer_shard      smallint,
    schema_version  smallint,          -- of this event type; NULL is 1
    request_id      uuid,              -- on the first row of a command
    -- On openings. Compared byte by byte: an index in the database's order is wrong as soon as an update of the system changes that
    -- order, and then accounts that are there are not found, and opened again.
    account_id      text COLLATE "C",
    owner_id        text,              -- on openings
    currency        text,              -- on openings, and on rejections of money movements
    reference       text,
    counterparty    text,              -- of a transfer, the other account's id; of a bill, the payee
    actor           text,
    trace_context   bytea,
    details         bytea,             -- labels of openings; what was asked and why not, of rejections; before either, the places of an atomic batch
    CONSTRAINT events_pkey PRIMARY KEY (shard, position),
    -- One for all: each constraint costs every append its preparation.
    CONSTRAINT events_values_check CHECK (
        balance - coalesce(held, 0) >= -coalesce(overdraft_limit, 0)
        AND amount > 0 AND held > 0 AND overdraft_limit > 0
        AND status BETWEEN 1 AND 3
    )
);

-- These three catch what a bug in memory would let through: two writers deciding on the same state, a command applied
-- twice, an account opened twice. A stored refusal (type 11) has no version of its own.
CREATE UNIQUE INDEX events_account_version_key ON counterfoil.events (shard, account, version) WHERE event_type <> 11;
CREATE UNIQUE INDEX events_request_id_key ON counterfoil.events (shard, request_id) WHERE request_id IS NOT NULL;
CREATE UNIQUE INDEX events_account_id_key ON counterfoil.events (shard, account_id) WHERE event_type = 1;

CREATE TABLE counterfoil.event_types (
    event_type smallint NOT NULL,
    name       text     NOT NULL,
    CONSTRAINT event_types_pkey PRIMARY KEY (event_type)
);

INSERT INTO counterfoil.event_types (event_type, name) VALUES
    (1, 'AccountOpened'),
    (2, 'MoneyDeposited'),
    (3, 'MoneyWithdrawn'),
    (4, 'BillPaid'),
    (5, 'TransferSent'),
    (6, 'TransferReceived'),
    (7, 'OverdraftLimitSet'),
    (8, 'AccountFrozen'),
    (9, 'AccountUnfrozen'),
    (10, 'AccountClosed'),
    (11, 'CommandRejected');

-- The log as an auditor reads it.
CREATE VIEW counterfoil.audit_log AS
SELECT e.shard, e.position, b.recorded_at, t.name AS event, o.account_id, e.version,
       e.amount, o.currency, e.balance, coalesce(e.held, 0) AS held,
       coalesce(e.overdraft_limit, 0) AS overdraft_limit,
       CASE e.status WHEN 1 THEN 'open' WHEN 2 THEN 'frozen' ELSE 'closed' END AS status,
       e.reference, e.counterparty, e.effective_at, e.request_id, e.actor, e.peer_shard, e.peer_position
FROM counterfoil.events e
JOIN counterfoil.event_types t USING (event_type)
JOIN counterfoil.events o ON o.shard = e.shard AND o.account = e.account AND o.version = 1 AND o.event_type = 1
JOIN LATERAL (
    SELECT recorded_at FROM counterfoil.batches
    WHERE shard = e.shard AND first_position <= e.position ORDER BY first_position DESC LIMIT 1
) b ON true;
