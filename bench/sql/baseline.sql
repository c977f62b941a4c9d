-- What a careful team would write instead: the same columns and the same three uniqueness guarantees as the log has,
-- without chain, batches or stored state to check.
CREATE TABLE events (
    position        bigint GENERATED ALWAYS AS IDENTITY,
    version         bigint NOT NULL,
    balance         bigint NOT NULL,
    amount          bigint,
    held            bigint,
    overdraft_limit bigint,
    peer_position   bigint,
    effective_at    timestamptz,
    account         integer  NOT NULL,
    shard           smallint NOT NULL,
    event_type      smallint NOT NULL,
    status          smallint NOT NULL,
    peer_shard      smallint,
    schema_version  smallint,
    request_id      uuid,
    account_id      text,
    owner_id        text,
    currency        text,
    reference       text,
    counterparty    text,
    actor           text,
    trace_context   bytea,
    details         bytea,
    CONSTRAINT events_pkey PRIMARY KEY (shard, position),
    CONSTRAINT events_limit_check CHECK (balance - coalesce(held, 0) >= -coalesce(overdraft_limit, 0)),
    CONSTRAINT events_amounts_check CHECK (amount > 0 AND held > 0 AND overdraft_limit > 0),
    CONSTRAINT events_status_check CHECK (status BETWEEN 1 AND 3)
);

CREATE UNIQUE INDEX events_account_version_key ON events (shard, account, version) WHERE event_type <> 11;
CREATE UNIQUE INDEX events_request_id_key ON events (shard, request_id) WHERE request_id IS NOT NULL;
CREATE UNIQUE INDEX events_account_id_key ON events (shard, account_id) WHERE event_type = 1;

-- How accounts stand, for the transaction that keeps entry and balance together.
CREATE TABLE accounts (
    account integer PRIMARY KEY,
    version bigint  NOT NULL,
    balance bigint  NOT NULL
);
