-- Times are milliseconds since 1970-01-01T00:00:00Z; digests are lower-case hexadecimal.

CREATE TABLE organizations (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    created_at  BIGINT  NOT NULL
);

CREATE TABLE projects (
    id               INTEGER PRIMARY KEY,
    organization_id  BIGINT  NOT NULL REFERENCES organizations (id),
    name             TEXT    NOT NULL,
    created_at       BIGINT  NOT NULL,
    UNIQUE (organization_id, name)
);

-- organization_id NULL: an administrator of the whole server.
-- selector is the public half that finds the row; only the SHA-256 of the whole token is kept.
CREATE TABLE tokens (
    id               INTEGER PRIMARY KEY,
    organization_id  BIGINT  REFERENCES organizations (id),
    label            TEXT    NOT NULL,
    selector         TEXT    NOT NULL UNIQUE,
    hash             BLOB    NOT NULL,
    created_at       BIGINT  NOT NULL,
    revoked_at       BIGINT
);

-- A place is (project or '+', node or key). The newest release of a place that is not withdrawn is the offered one.
-- md5 and sha256 are of the bytes served; running_* of what a device that runs them reports (unpacked; digest appended to
-- the image), running_md5 being a list with spaces between.
CREATE TABLE releases (
    id               INTEGER PRIMARY KEY,
    organization_id  BIGINT  NOT NULL REFERENCES organizations (id),
    project          TEXT    NOT NULL,
    target_kind      TEXT    NOT NULL,
    target           TEXT    NOT NULL,
    kind             TEXT    NOT NULL,
    version          TEXT    NOT NULL,
    size             BIGINT  NOT NULL,
    md5              TEXT    NOT NULL,
    sha256           TEXT    NOT NULL,
    running_md5      TEXT    NOT NULL,
    running_sha256   TEXT,
    family           TEXT    NOT NULL,
    chip_id          BIGINT,
    encoding         TEXT    NOT NULL,
    image_version    TEXT,
    image_project    TEXT,
    published_at     BIGINT  NOT NULL,
    published_by     BIGINT  REFERENCES tokens (id),
    withdrawn_at     BIGINT
);

CREATE INDEX releases_of_organization ON releases (organization_id, id);

CREATE TABLE devices (
    organization_id    BIGINT  NOT NULL REFERENCES organizations (id),
    node               TEXT    NOT NULL,
    project            TEXT    NOT NULL,
    key                TEXT    NOT NULL,
    family             TEXT,
    chip_id            TEXT,
    base_mac           TEXT,
    sta_mac            TEXT,
    ap_mac             TEXT,
    version            TEXT,
    sketch_md5         TEXT,
    sketch_sha256      TEXT,
    sketch_size        BIGINT,
    free_space         BIGINT,
    chip_size          BIGINT,
    sdk_version        TEXT,
    user_agent         TEXT,
    address            TEXT    NOT NULL,
    first_seen         BIGINT  NOT NULL,
    last_seen          BIGINT  NOT NULL,
    check_ins          BIGINT  NOT NULL,
    decision           TEXT    NOT NULL,
    decision_release   BIGINT,
    offered_sha256     TEXT,
    offered_count      BIGINT  NOT NULL,
    offered_blindly    BIGINT  NOT NULL,
    offered_at         BIGINT,
    result_state       TEXT,
    result_sha256      TEXT,
    result_version     TEXT,
    result_reason      TEXT,
    result_at          BIGINT,
    PRIMARY KEY (organization_id, node)
);

CREATE TABLE device_events (
    id               INTEGER PRIMARY KEY,
    organization_id  BIGINT  NOT NULL,
    node             TEXT    NOT NULL,
    at               BIGINT  NOT NULL,
    event            TEXT    NOT NULL,
    version          TEXT,
    sha256           TEXT,
    reason           TEXT
);

CREATE INDEX device_events_of_device ON device_events (organization_id, node, id);
