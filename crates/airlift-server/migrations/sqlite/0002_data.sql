-- Data images for partitions, beside apps.
--
-- kind 'app' has a family and no partition; kind 'data' has a partition and neither family nor chip. SQLite cannot take a
-- NOT NULL from a column, so the table is made anew with the old rows and ids in it.
-- file_system: 'spiffs', 'littlefs', 'fat', 'none' (known to be no file system), NULL when it is not known.

CREATE TABLE releases_of_any_kind (
    id               INTEGER PRIMARY KEY,
    organization_id  BIGINT  NOT NULL REFERENCES organizations (id),
    project          TEXT    NOT NULL,
    target_kind      TEXT    NOT NULL,
    target           TEXT    NOT NULL,
    kind             TEXT    NOT NULL,
    partition        TEXT,
    file_system      TEXT,
    version          TEXT    NOT NULL,
    size             BIGINT  NOT NULL,
    md5              TEXT    NOT NULL,
    sha256           TEXT    NOT NULL,
    running_md5      TEXT    NOT NULL,
    running_sha256   TEXT,
    family           TEXT,
    chip_id          BIGINT,
    encoding         TEXT    NOT NULL,
    image_version    TEXT,
    image_project    TEXT,
    published_at     BIGINT  NOT NULL,
    published_by     BIGINT  REFERENCES tokens (id),
    withdrawn_at     BIGINT
);

INSERT INTO releases_of_any_kind (id, organization_id, project, target_kind, target, kind, version, size, md5, sha256,
    running_md5, running_sha256, family, chip_id, encoding, image_version, image_project, published_at, published_by,
    withdrawn_at)
SELECT id, organization_id, project, target_kind, target, kind, version, size, md5, sha256,
    running_md5, running_sha256, family, chip_id, encoding, image_version, image_project, published_at, published_by,
    withdrawn_at FROM releases;

DROP TABLE releases;
ALTER TABLE releases_of_any_kind RENAME TO releases;
CREATE INDEX releases_of_organization ON releases (organization_id, id);

-- What a device says of its partitions and was told about them; columns as in devices. sha256 and version: what was last
-- installed there, by the device's word.
CREATE TABLE device_partitions (
    organization_id    BIGINT  NOT NULL,
    node               TEXT    NOT NULL,
    name               TEXT    NOT NULL,
    sha256             TEXT,
    version            TEXT,
    first_seen         BIGINT  NOT NULL,
    last_seen          BIGINT  NOT NULL,
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
    PRIMARY KEY (organization_id, node, name)
);

-- NULL: an event of the app.
ALTER TABLE device_events ADD COLUMN partition TEXT;
