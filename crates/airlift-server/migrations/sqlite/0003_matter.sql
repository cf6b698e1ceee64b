-- What Matter OTA images say of themselves: NULL for all other releases, and for images that were published before this was kept.
--
-- vendor and product: 0 is any. parts: NULL if the payload is one image.

ALTER TABLE releases ADD COLUMN matter_vendor BIGINT;
ALTER TABLE releases ADD COLUMN matter_product BIGINT;
ALTER TABLE releases ADD COLUMN matter_version BIGINT;
ALTER TABLE releases ADD COLUMN matter_version_string TEXT;
ALTER TABLE releases ADD COLUMN matter_min_version BIGINT;
ALTER TABLE releases ADD COLUMN matter_max_version BIGINT;
ALTER TABLE releases ADD COLUMN matter_parts BIGINT;
