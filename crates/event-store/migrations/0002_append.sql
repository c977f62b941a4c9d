-- append: the only way into the log.
--
-- One call is one implicit transaction: every batch with all its rows, or nothing. Each shard named has one batch. The
-- caller says which head it decided on, and is refused when that is not the head:
--   CF001 the head has moved (also: unique violation of batches_pkey, when another append is faster by a moment)
--   CF002 the log is another incarnation than the caller's
--   CF003 the caller is wrong: holes, miscounts
-- p_previous_* name the batch that the caller sent just before on the same connection without waiting for its answer. It
-- must be there: a batch behind a failed one fails too, also when they are of different shards.

CREATE FUNCTION counterfoil.append(
    p_log_id              uuid,
    p_previous_shard      smallint,
    p_previous_first      bigint,
    p_previous_digest     bytea,
    p_shards              smallint[], -- ascending
    p_expected_positions  bigint[],
    p_expected_digests    bytea[],
    p_counts              integer[],
    p_accounts            integer[],
    p_attempt             uuid,
    p_format              smallint,
    p_digests             bytea[],
    p_account             integer[],  -- from here on: one element per row, by shard, then in the order of positions
    p_event_type          smallint[],
    p_version             bigint[],
    p_balance             bigint[],
    p_status              smallint[],
    p_amount              bigint[],
    p_request_id          uuid[],
    p_held                bigint[],   -- these may be NULL as a whole when no row has them
    p_overdraft_limit     bigint[],
    p_peer_shard          smallint[],
    p_peer_position       bigint[],
    p_effective_at        timestamptz[],
    p_schema_version      smallint[],
    p_account_id          text[],
    p_owner_id            text[],
    p_currency            text[],
    p_reference           text[],
    p_counterparty        text[],
    p_actor               text[],
    p_trace_context       bytea[],
    p_details             bytea[]
) RETURNS TABLE (recorded_at timestamptz, hash bytea)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_head     record;
    v_rows     bigint := 0;
    v_inserted bigint;
BEGIN
    IF p_previous_shard IS NOT NULL AND NOT EXISTS (
        SELECT FROM counterfoil.batches b
        WHERE b.shard = p_previous_shard AND b.first_position = p_previous_first AND b.digest = p_previous_digest
    ) THEN
        RAISE EXCEPTION 'the batch before this one is not in the log' USING ERRCODE = 'CF001';
    END IF;

    -- Few statements: what an append of one row costs is mostly their beginning and end.
    FOR i IN 1 .. cardinality(p_shards) LOOP
        IF i > 1 AND p_shards[i] <= p_shards[i - 1] THEN
            RAISE EXCEPTION 'shards must ascend' USING ERRCODE = 'CF003'; -- or two appends could wait for each other
        END IF;
        SELECT l.log_id, b.last_position, b.digest, b.hash, b.accounts,
               greatest(b.recorded_at, clock_timestamp()) AS recorded_at
        INTO v_head
        FROM (SELECT i.log_id FROM counterfoil.incarnations i ORDER BY i.incarnation DESC LIMIT 1) l
        LEFT JOIN LATERAL (
            SELECT * FROM counterfoil.batches WHERE shard = p_shards[i] ORDER BY first_position DESC LIMIT 1
        ) b ON true;
        IF v_head.log_id IS DISTINCT FROM p_log_id THEN
            RAISE EXCEPTION 'the log is another incarnation' USING ERRCODE = 'CF002';
        END IF;
        IF v_head.last_position IS NULL THEN
            v_head.last_position := 0; v_head.accounts := 0;
            SELECT counterfoil.genesis(i1.log_id, p_shards[i]) INTO v_head.digest
            FROM counterfoil.incarnations i1 WHERE i1.incarnation = 1;
            v_head.hash := v_head.digest;
        END IF;
        IF (v_head.last_position, v_head.digest) IS DISTINCT FROM (p_expected_positions[i], p_expected_digests[i]) THEN
            RAISE EXCEPTION 'the head of shard % is at %', p_shards[i], v_head.last_position USING ERRCODE = 'CF001';
        END IF;
        IF (p_counts[i] >= 1 AND p_accounts[i] >= v_head.accounts AND length(p_digests[i]) = 32) IS NOT TRUE THEN
            RAISE EXCEPTION 'the batch miscounts' USING ERRCODE = 'CF003';
        END IF;
        recorded_at := v_head.recorded_at;
        hash := sha256(v_head.hash || p_digests[i] || int8send(v_head.last_position + 1)
                       || int8send(v_head.last_position + p_counts[i]) || timestamptz_send(recorded_at));
        -- The events come from a join with the batch, so that the batch is there first: whoever loses a race loses it there.
        -- Positions are counted here, not given: there can be no hole, and none twice.
        WITH batch AS (
            INSERT INTO counterfoil.batches
                (shard, first_position, last_position, recorded_at, attempt, accounts, format, digest, hash)
            VALUES (p_shards[i], v_head.last_position + 1, v_head.last_position + p_counts[i], append.recorded_at, p_attempt,
                    p_accounts[i], p_format, p_digests[i], append.hash)
            RETURNING batches.shard, batches.first_position - v_rows - 1 AS before
        )
        INSERT INTO counterfoil.events
            (shard, position, account, event_type, version, balance, status, amount, request_id, held, overdraft_limit,
             peer_shard, peer_position, effective_at, schema_version, account_id, owner_id, currency, reference,
             counterparty, actor, trace_context, details)
        SELECT batch.shard, batch.before + r.place, r.account, r.event_type, r.version, r.balance,
               r.status, r.amount, r.request_id, r.held, r.overdraft_limit, r.peer_shard, r.peer_position,
               r.effective_at, r.schema_version, r.account_id, r.owner_id, r.currency, r.reference, r.counterparty,
               r.actor, r.trace_context, r.details
        FROM batch CROSS JOIN unnest(
            p_account, p_event_type, p_version, p_balance, p_status, p_amount, p_request_id, p_held, p_overdraft_limit,
            p_peer_shard, p_peer_position, p_effective_at, p_schema_version, p_account_id, p_owner_id, p_currency,
            p_reference, p_counterparty, p_actor, p_trace_context, p_details
        ) WITH ORDINALITY AS r (
            account, event_type, version, balance, status, amount, request_id, held, overdraft_limit,
            peer_shard, peer_position, effective_at, schema_version, account_id, owner_id, currency,
            reference, counterparty, actor, trace_context, details, place)
        WHERE r.place > v_rows AND r.place <= v_rows + p_counts[i];
        GET DIAGNOSTICS v_inserted = ROW_COUNT;
        IF v_inserted <> p_counts[i] THEN
            RAISE EXCEPTION 'the batch miscounts' USING ERRCODE = 'CF003';
        END IF;
        v_rows := v_rows + v_inserted;
        RETURN NEXT;
    END LOOP;
    IF v_rows <> cardinality(p_account) THEN
        RAISE EXCEPTION '% rows were given for % places', cardinality(p_account), v_rows USING ERRCODE = 'CF003';
    END IF;
END
$$;

-- Where a shard's chains begin: both the digest and the hash before position 1.
CREATE FUNCTION counterfoil.genesis(p_log_id uuid, p_shard smallint) RETURNS bytea
LANGUAGE sql IMMUTABLE
RETURN sha256('counterfoil.log.v1'::bytea || uuid_send(p_log_id) || int2send(p_shard));

-- A courtesy between writers that found each other: they take turns for a moment. Nothing relies on it.
CREATE FUNCTION counterfoil.take_turn(p_shard smallint) RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '50ms'
AS $$
BEGIN
    PERFORM pg_advisory_lock(1129268294, p_shard); -- "CFLF"
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
