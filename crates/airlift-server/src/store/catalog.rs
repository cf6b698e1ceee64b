//! Rows of organizations, projects and releases.

use sqlx::FromRow;

use super::database::Database;
use crate::clock::Timestamp;

/// A named thing that an organization or the server has.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct NamedRow {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) created_at: i64,
}

/// A release as it is stored; see the migration for what the columns mean.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ReleaseRow {
    pub(crate) id: i64,
    pub(crate) organization_id: i64,
    pub(crate) project: String,
    pub(crate) target_kind: String,
    pub(crate) target: String,
    pub(crate) kind: String,
    pub(crate) partition: Option<String>,
    pub(crate) file_system: Option<String>,
    pub(crate) version: String,
    pub(crate) size: i64,
    pub(crate) md5: String,
    pub(crate) sha256: String,
    pub(crate) running_md5: String,
    pub(crate) running_sha256: Option<String>,
    pub(crate) family: Option<String>,
    pub(crate) chip_id: Option<i64>,
    pub(crate) encoding: String,
    pub(crate) image_version: Option<String>,
    pub(crate) image_project: Option<String>,
    pub(crate) published_at: i64,
    pub(crate) published_by: Option<i64>,
    pub(crate) withdrawn_at: Option<i64>,
    pub(crate) signature: Option<String>,
    pub(crate) held: i64,
    pub(crate) allow_downgrade: i64,
    pub(crate) notes: Option<String>,
    #[sqlx(flatten)]
    pub(crate) matter: MatterColumns,
}

/// What a Matter OTA image says of itself.
#[derive(Debug, Clone, Default, FromRow)]
pub(crate) struct MatterColumns {
    pub(crate) matter_vendor: Option<i64>,
    pub(crate) matter_product: Option<i64>,
    pub(crate) matter_version: Option<i64>,
    pub(crate) matter_version_string: Option<String>,
    pub(crate) matter_min_version: Option<i64>,
    pub(crate) matter_max_version: Option<i64>,
    pub(crate) matter_parts: Option<i64>,
}

pub(super) const INSERT_ORGANIZATION: &str = "INSERT INTO organizations (name, created_at) VALUES ($1, $2) \
     ON CONFLICT (name) DO NOTHING RETURNING id, name, created_at";
pub(super) const ORGANIZATIONS: &str = "SELECT id, name, created_at FROM organizations ORDER BY id";
pub(super) const INSERT_PROJECT: &str = "INSERT INTO projects (organization_id, name, created_at) VALUES ($1, $2, $3) \
     ON CONFLICT (organization_id, name) DO NOTHING RETURNING id, name, created_at";
pub(super) const PROJECTS: &str =
    "SELECT id, name, created_at FROM projects WHERE organization_id = $1 ORDER BY name";
pub(super) const INSERT_RELEASE: &str = "INSERT INTO releases (organization_id, project, target_kind, target, kind, version, size, md5, sha256, \
     running_md5, running_sha256, family, chip_id, encoding, image_version, image_project, published_at, published_by, partition, \
     file_system, signature, matter_vendor, matter_product, matter_version, matter_version_string, matter_min_version, \
     matter_max_version, matter_parts, held, allow_downgrade, notes) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31) \
     RETURNING id";
pub(super) const RELEASES: &str = "SELECT id, organization_id, project, target_kind, target, kind, version, size, md5, sha256, running_md5, \
     running_sha256, family, chip_id, encoding, image_version, image_project, published_at, published_by, withdrawn_at, \
     partition, file_system, signature, matter_vendor, matter_product, matter_version, matter_version_string, matter_min_version, \
     matter_max_version, matter_parts, held, allow_downgrade, notes FROM releases WHERE organization_id = $1 ORDER BY id";
pub(super) const RELEASE: &str = "SELECT id, organization_id, project, target_kind, target, kind, version, size, md5, sha256, running_md5, \
     running_sha256, family, chip_id, encoding, image_version, image_project, published_at, published_by, withdrawn_at, \
     partition, file_system, signature, matter_vendor, matter_product, matter_version, matter_version_string, matter_min_version, \
     matter_max_version, matter_parts, held, allow_downgrade, notes FROM releases WHERE organization_id = $1 AND id = $2";
pub(super) const CHANGE_RELEASE: &str =
    "UPDATE releases SET held = $1, allow_downgrade = $2, notes = $3 WHERE id = $4";
pub(super) const WITHDRAW: &str =
    "UPDATE releases SET withdrawn_at = $1 WHERE id = $2 AND withdrawn_at IS NULL";

impl Database {
    /// `None`: the name is taken.
    pub(crate) async fn insert_organization(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<NamedRow>, sqlx::Error> {
        sqlx::query_as(INSERT_ORGANIZATION)
            .bind(name)
            .bind(now.0)
            .fetch_optional(&self.write)
            .await
    }

    pub(crate) async fn organizations(&self) -> Result<Vec<NamedRow>, sqlx::Error> {
        sqlx::query_as(ORGANIZATIONS).fetch_all(&self.read).await
    }

    /// `None`: the name is taken.
    pub(crate) async fn insert_project(
        &self,
        organization: i64,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<NamedRow>, sqlx::Error> {
        sqlx::query_as(INSERT_PROJECT)
            .bind(organization)
            .bind(name)
            .bind(now.0)
            .fetch_optional(&self.write)
            .await
    }

    pub(crate) async fn projects(&self, organization: i64) -> Result<Vec<NamedRow>, sqlx::Error> {
        sqlx::query_as(PROJECTS)
            .bind(organization)
            .fetch_all(&self.read)
            .await
    }

    /// Stores a new release (its `id` and `withdrawn_at` are not looked at) and returns its id.
    pub(crate) async fn insert_release(&self, release: &ReleaseRow) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(INSERT_RELEASE)
            .bind(release.organization_id)
            .bind(&release.project)
            .bind(&release.target_kind)
            .bind(&release.target)
            .bind(&release.kind)
            .bind(&release.version)
            .bind(release.size)
            .bind(&release.md5)
            .bind(&release.sha256)
            .bind(&release.running_md5)
            .bind(&release.running_sha256)
            .bind(&release.family)
            .bind(release.chip_id)
            .bind(&release.encoding)
            .bind(&release.image_version)
            .bind(&release.image_project)
            .bind(release.published_at)
            .bind(release.published_by)
            .bind(&release.partition)
            .bind(&release.file_system)
            .bind(&release.signature)
            .bind(release.matter.matter_vendor)
            .bind(release.matter.matter_product)
            .bind(release.matter.matter_version)
            .bind(&release.matter.matter_version_string)
            .bind(release.matter.matter_min_version)
            .bind(release.matter.matter_max_version)
            .bind(release.matter.matter_parts)
            .bind(release.held)
            .bind(release.allow_downgrade)
            .bind(&release.notes)
            .fetch_one(&self.write)
            .await
    }

    /// All releases of an organization, also withdrawn ones, oldest first.
    pub(crate) async fn releases(&self, organization: i64) -> Result<Vec<ReleaseRow>, sqlx::Error> {
        sqlx::query_as(RELEASES)
            .bind(organization)
            .fetch_all(&self.read)
            .await
    }

    /// The release of that id, if it is the organization's.
    pub(crate) async fn release(
        &self,
        organization: i64,
        id: i64,
    ) -> Result<Option<ReleaseRow>, sqlx::Error> {
        sqlx::query_as(RELEASE)
            .bind(organization)
            .bind(id)
            .fetch_optional(&self.read)
            .await
    }

    /// Stores what can be changed of a release.
    pub(crate) async fn change_release(
        &self,
        id: i64,
        held: bool,
        allow_downgrade: bool,
        notes: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(CHANGE_RELEASE)
            .bind(i64::from(held))
            .bind(i64::from(allow_downgrade))
            .bind(notes)
            .bind(id)
            .execute(&self.write)
            .await
            .map(drop)
    }

    pub(crate) async fn withdraw_release(
        &self,
        id: i64,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(WITHDRAW)
            .bind(now.0)
            .bind(id)
            .execute(&self.write)
            .await
            .map(drop)
    }
}
