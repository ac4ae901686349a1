-- Purpose: samples as a hypertable with columnstore, where TimescaleDB is installed.
SELECT create_hypertable('sample', by_range('at', INTERVAL '7 days'), create_default_indexes => false);
CREATE INDEX sample_by_device ON sample (device_no, at DESC);
ALTER TABLE sample SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'device_no',
    timescaledb.compress_orderby = 'metric_no, at DESC'
);
-- Late records are normal; two weeks keep nearly all of them out of compressed chunks.
SELECT add_compression_policy('sample', INTERVAL '14 days');

CREATE FUNCTION ensure_sample_partition(month date) RETURNS void
LANGUAGE sql AS $$ SELECT $$;
COMMENT ON FUNCTION ensure_sample_partition IS 'A hypertable makes its own chunks.';
