-- The wallet's books. Only customers' accounts have a balance row: suspense, fees and settlements
-- would be rows that every transfer waits for, so their balances are the sums of their postings.

CREATE TABLE accounts (
    account       text PRIMARY KEY,
    balance_cents bigint NOT NULL CHECK (balance_cents >= 0)
) WITH (fillfactor = 50);

CREATE TABLE transfers (
    id            text PRIMARY KEY,          -- the customer's idempotency key
    end_to_end_id text NOT NULL UNIQUE,
    rail          text NOT NULL,
    account       text NOT NULL,
    payee         text NOT NULL,
    amount_cents  bigint NOT NULL CHECK (amount_cents > 0),
    fee_cents     bigint NOT NULL CHECK (fee_cents >= 0),
    state         text NOT NULL CHECK (state IN
        ('received', 'reserved', 'sent', 'unknown', 'settled', 'failed', 'refused')),
    gateway       text NOT NULL DEFAULT '',
    reason        text NOT NULL DEFAULT '',
    pod           text NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_at    timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 70);
CREATE INDEX transfers_received ON transfers (received_at);
CREATE INDEX transfers_open ON transfers (received_at)
    WHERE state IN ('reserved', 'sent', 'unknown');

CREATE TABLE postings (
    number       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transfer     text NOT NULL,
    account      text NOT NULL,
    amount_cents bigint NOT NULL,
    posted_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX postings_transfer ON postings (transfer);

INSERT INTO accounts
SELECT 'acc-' || lpad(n::text, 4, '0'), 100000000 FROM generate_series(1, 1000) AS n;

-- received → reserved, or refused. A known key changes nothing and gives the transfer it belongs to,
-- which the caller tells by its end-to-end id.
-- p_halved is the planted defect money-lost: the debit alone; credit_suspense() follows later.
CREATE FUNCTION reserve(p_id text, p_end_to_end_id text, p_rail text, p_account text, p_payee text,
    p_amount bigint, p_fee bigint, p_refusal text, p_pod text, p_halved boolean)
RETURNS transfers LANGUAGE plpgsql AS $$
DECLARE
    t transfers;
BEGIN
    INSERT INTO transfers (id, end_to_end_id, rail, account, payee, amount_cents, fee_cents, pod,
                           reason, state)
    VALUES (p_id, p_end_to_end_id, p_rail, p_account, p_payee, p_amount, p_fee, p_pod, p_refusal,
            CASE WHEN p_refusal <> '' THEN 'refused' WHEN p_halved THEN 'received'
                 ELSE 'reserved' END)
    ON CONFLICT (id) DO NOTHING RETURNING * INTO t;
    IF NOT FOUND THEN
        SELECT * INTO t FROM transfers WHERE id = p_id;
        RETURN t;
    END IF;
    IF p_refusal = '' THEN
        UPDATE accounts SET balance_cents = balance_cents - p_amount - p_fee
         WHERE account = p_account AND balance_cents >= p_amount + p_fee;
        IF FOUND THEN
            INSERT INTO postings (transfer, account, amount_cents)
            VALUES (p_id, p_account, -p_amount - p_fee);
            IF NOT p_halved THEN
                INSERT INTO postings (transfer, account, amount_cents)
                VALUES (p_id, 'suspense', p_amount + p_fee);
            END IF;
        ELSE
            UPDATE transfers SET state = 'refused', reason = CASE
                WHEN EXISTS (SELECT FROM accounts WHERE account = p_account) THEN 'funds'
                ELSE 'account' END
             WHERE id = p_id RETURNING * INTO t;
        END IF;
    END IF;
    RETURN t;
END $$;

CREATE FUNCTION credit_suspense(p_id text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t transfers;
BEGIN
    UPDATE transfers SET state = 'reserved', changed_at = clock_timestamp()
     WHERE id = p_id AND state = 'received' RETURNING * INTO t;
    INSERT INTO postings (transfer, account, amount_cents)
    SELECT p_id, 'suspense', t.amount_cents + t.fee_cents WHERE t.id IS NOT NULL;
END $$;

-- reserved → sent. The settling loop treats both alike: a payment may be under way.
CREATE FUNCTION mark_sent(p_id text) RETURNS void LANGUAGE sql AS $$
    UPDATE transfers SET state = 'sent', changed_at = clock_timestamp()
     WHERE id = p_id AND state = 'reserved';
$$;

-- Only the planted defect pays-twice gives a transfer another end-to-end id.
CREATE FUNCTION renumber(p_id text, p_end_to_end_id text) RETURNS void LANGUAGE sql AS $$
    UPDATE transfers SET end_to_end_id = p_end_to_end_id WHERE id = p_id;
$$;

-- Nobody asks a gateway any more: the settling loop may take it at once.
CREATE FUNCTION mark_unknown(p_id text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE transfers SET state = 'unknown', changed_at = clock_timestamp()
     WHERE id = p_id AND state IN ('reserved', 'sent');
    RETURN (SELECT state FROM transfers WHERE id = p_id);
END $$;

-- Gives the state that the transfer then has: another replica may have been first.
CREATE FUNCTION settle(p_id text, p_gateway text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    t transfers;
BEGIN
    UPDATE transfers SET state = 'settled', gateway = p_gateway, changed_at = clock_timestamp()
     WHERE id = p_id AND state IN ('reserved', 'sent', 'unknown') RETURNING * INTO t;
    IF NOT FOUND THEN
        RETURN (SELECT state FROM transfers WHERE id = p_id);
    END IF;
    INSERT INTO postings (transfer, account, amount_cents)
    VALUES (p_id, 'suspense', -t.amount_cents - t.fee_cents),
           (p_id, 'settlement:' || t.rail, t.amount_cents),
           (p_id, 'fees', t.fee_cents);
    RETURN 'settled';
END $$;

CREATE FUNCTION fail(p_id text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    t transfers;
BEGIN
    UPDATE transfers SET state = 'failed', changed_at = clock_timestamp()
     WHERE id = p_id AND state IN ('reserved', 'sent', 'unknown') RETURNING * INTO t;
    IF NOT FOUND THEN
        RETURN (SELECT state FROM transfers WHERE id = p_id);
    END IF;
    INSERT INTO postings (transfer, account, amount_cents)
    VALUES (p_id, 'suspense', -t.amount_cents - t.fee_cents),
           (p_id, t.account, t.amount_cents + t.fee_cents);
    UPDATE accounts SET balance_cents = balance_cents + t.amount_cents + t.fee_cents
     WHERE account = t.account;
    RETURN 'failed';
END $$;
