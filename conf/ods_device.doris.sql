-- Table of conf/doris.toml. Every row is kept, so that nothing could hide a record that came twice.
CREATE DATABASE IF NOT EXISTS ods_cjm;

CREATE TABLE IF NOT EXISTS ods_cjm.ods_device (
    id              BIGINT NOT NULL,
    company_name    VARCHAR(256),
    company_id      BIGINT,
    secret_key      VARCHAR(64),
    model           VARCHAR(64),
    amount          DECIMAL(18, 2),
    balance         DECIMAL(38, 10),
    traffic         LARGEINT,
    online          BOOLEAN,
    remark          VARCHAR(1024),
    location        JSON,
    city            VARCHAR(64),
    firmware        VARCHAR(32),
    updated_at      BIGINT,
    kafka_partition INT,
    kafka_offset    BIGINT
)
DUPLICATE KEY(id)
DISTRIBUTED BY HASH(id) BUCKETS 4
PROPERTIES ("replication_num" = "1");
