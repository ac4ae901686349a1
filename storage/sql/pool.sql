-- name: prove_commit
-- Write a few bytes to the log inside a transaction: only a server that can commit gets past it.
SELECT pg_logical_emit_message(true, 'fjarrkoll', 'ready'),
    current_setting('transaction_read_only');
