-- Accounts and schema of the staging topology. Not logged: every server starts with the same, and no replica with errant
-- transactions; what the image itself logged before is reset.
SET sql_log_bin = 0;
CREATE USER primacy@'%' IDENTIFIED BY 'staging-only';
GRANT SELECT, RELOAD, PROCESS, REPLICATION CLIENT, REPLICATION SLAVE ON *.* TO primacy@'%';
GRANT REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN ON *.* TO primacy@'%';
CREATE USER repl@'%' IDENTIFIED BY 'staging-only';
GRANT REPLICATION SLAVE ON *.* TO repl@'%';
CREATE USER app@'%' IDENTIFIED BY 'staging-only';
GRANT ALL ON app.* TO app@'%';
CREATE DATABASE app;
CREATE TABLE app.writes (id BIGINT PRIMARY KEY AUTO_INCREMENT, at TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3));
SET @reset = IF(@@log_bin, 'RESET BINARY LOGS AND GTIDS', 'DO 0');
PREPARE reset_gtids FROM @reset;
EXECUTE reset_gtids;
