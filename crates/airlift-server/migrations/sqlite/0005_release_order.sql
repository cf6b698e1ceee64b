-- held (1): the release is offered by rollouts only, and not by its place. allow_downgrade (1): also to devices that run a newer
-- version. notes: what its publisher says about it, for people.
ALTER TABLE releases ADD COLUMN held BIGINT NOT NULL DEFAULT 0;
ALTER TABLE releases ADD COLUMN allow_downgrade BIGINT NOT NULL DEFAULT 0;
ALTER TABLE releases ADD COLUMN notes TEXT;
