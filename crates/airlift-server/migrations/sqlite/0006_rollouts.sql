-- Rollouts: what happened to them, in its order, is all that there is of them. Rows of rollout_events are never changed.
-- event: JSON, as airlift-rollout writes it. actor: the token of who did it; NULL: a device, or the server by the rules.

CREATE TABLE rollouts (
    id               INTEGER PRIMARY KEY,
    organization_id  BIGINT  NOT NULL REFERENCES organizations (id),
    created_at       BIGINT  NOT NULL
);

CREATE TABLE rollout_events (
    id       INTEGER PRIMARY KEY,
    rollout  BIGINT  NOT NULL REFERENCES rollouts (id),
    at       BIGINT  NOT NULL,
    actor    BIGINT,
    event    TEXT    NOT NULL
);

CREATE INDEX rollout_events_of_rollout ON rollout_events (rollout, id);

-- What people say of devices. tags: names with spaces between.
ALTER TABLE devices ADD COLUMN device_group TEXT;
ALTER TABLE devices ADD COLUMN tags TEXT NOT NULL DEFAULT '';
