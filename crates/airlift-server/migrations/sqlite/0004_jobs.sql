-- Things, and the jobs that they are given (AWS IoT Jobs and MQTT file streams).

-- A device that signs in under a name of its own. The name is unique in its organization; project and key say which
-- releases are for it, as with devices that ask over HTTP. How it may sign in: certificate_fingerprint (SHA-256 of the DER,
-- hexadecimal), password_hash; NULL: not that way.
CREATE TABLE things (
    id                       INTEGER PRIMARY KEY,
    organization_id          BIGINT  NOT NULL REFERENCES organizations (id),
    project                  TEXT    NOT NULL,
    name                     TEXT    NOT NULL,
    key                      TEXT,
    certificate_fingerprint  TEXT    UNIQUE,
    password_hash            TEXT,
    created_at               BIGINT  NOT NULL,
    blocked_at               BIGINT,
    UNIQUE (organization_id, name)
);

-- Base64 of a DER-encoded ECDSA P-256 signature over the bytes served; NULL: not signed.
ALTER TABLE releases ADD COLUMN signature TEXT;

-- name is the job id of the protocol. release_id: the job installs that release; automatic (1): it was made because the release
-- is offered to things, and not by a person. stream: name of the stream that carries the job's files.
-- timeout_minutes: how long an execution may be in progress. cancel_forced (1): also executions that are in progress end.
CREATE TABLE jobs (
    id                 INTEGER PRIMARY KEY,
    organization_id    BIGINT  NOT NULL REFERENCES organizations (id),
    name               TEXT    NOT NULL,
    description        TEXT    NOT NULL,
    document           TEXT    NOT NULL,
    release_id         BIGINT,
    automatic          BIGINT  NOT NULL,
    stream             TEXT    UNIQUE,
    timeout_minutes    BIGINT,
    retries_failed     BIGINT  NOT NULL,
    retries_timed_out  BIGINT  NOT NULL,
    created_at         BIGINT  NOT NULL,
    created_by         BIGINT  REFERENCES tokens (id),
    canceled_at        BIGINT,
    cancel_forced      BIGINT  NOT NULL,
    cancel_reason      TEXT,
    cancel_comment     TEXT,
    deleted_at         BIGINT,
    UNIQUE (organization_id, name)
);

CREATE INDEX jobs_of_release ON jobs (organization_id, release_id);

-- id is the file id of the protocol; path is what the job document calls it, and no path of the server.
CREATE TABLE job_files (
    job     BIGINT  NOT NULL REFERENCES jobs (id),
    id      BIGINT  NOT NULL,
    path    TEXT    NOT NULL,
    size    BIGINT  NOT NULL,
    sha256  TEXT    NOT NULL,
    PRIMARY KEY (job, id)
);

-- Files that were uploaded for jobs. An organization can name only what it has uploaded itself.
CREATE TABLE files (
    organization_id  BIGINT  NOT NULL REFERENCES organizations (id),
    sha256           TEXT    NOT NULL,
    size             BIGINT  NOT NULL,
    uploaded_at      BIGINT  NOT NULL,
    PRIMARY KEY (organization_id, sha256)
);

-- details: the status details, a JSON object of texts. deadline: when it times out. failures and timeouts: how many earlier
-- executions of this job by this thing ended so.
CREATE TABLE job_executions (
    job         BIGINT  NOT NULL REFERENCES jobs (id),
    thing       BIGINT  NOT NULL REFERENCES things (id),
    number      BIGINT  NOT NULL,
    status      TEXT    NOT NULL,
    details     TEXT,
    version     BIGINT  NOT NULL,
    queued_at   BIGINT  NOT NULL,
    started_at  BIGINT,
    updated_at  BIGINT  NOT NULL,
    deadline    BIGINT,
    failures    BIGINT  NOT NULL,
    timeouts    BIGINT  NOT NULL,
    PRIMARY KEY (job, thing, number)
);

CREATE INDEX job_executions_of_thing ON job_executions (thing, updated_at);
CREATE INDEX job_executions_pending ON job_executions (thing) WHERE status IN ('QUEUED', 'IN_PROGRESS');
CREATE INDEX job_executions_deadline ON job_executions (deadline) WHERE deadline IS NOT NULL;
