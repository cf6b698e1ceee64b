//! The in-memory picture of the catalog that update checks read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::CatalogError;
use super::release::{Kind, Release, TargetKind};
use crate::digest::{Md5, Sha256};
use crate::name::ALL_PROJECTS;
use crate::store::catalog::NamedRow;
use crate::store::database::Database;

/// Everything that an update check may need. Immutable; replaced as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) organizations: HashMap<Box<str>, Arc<Organization>>,
    by_id: HashMap<i64, Arc<Organization>>,
}

impl Snapshot {
    /// The organization with that id.
    pub(crate) fn by_id(&self, id: i64) -> Option<&Arc<Organization>> {
        self.by_id.get(&id)
    }

    /// Puts an organization in, also in the place of what it was before.
    pub(super) fn insert(&mut self, organization: Arc<Organization>) {
        self.by_id
            .insert(organization.id, Arc::clone(&organization));
        self.organizations
            .insert(organization.name.as_str().into(), organization);
    }
}

/// One organization's part.
#[derive(Debug, Default)]
pub(crate) struct Organization {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) created_at: i64,
    /// Known projects, also those without a release.
    pub(crate) projects: HashMap<Box<str>, Places>,
    /// The places `+/NODE` and `+/KEY`.
    pub(crate) all_projects: Places,
    /// Releases that only rollouts offer, by their ids. Not those that were withdrawn.
    pub(crate) held: BTreeMap<i64, Arc<Release>>,
    /// Ids of releases that were withdrawn.
    withdrawn: HashSet<i64>,
    builds_by_md5: HashMap<Md5, Arc<Release>>,
    builds_by_sha256: HashMap<Sha256, Arc<Release>>,
}

/// Every place of one project (or of all projects) that offers something.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) nodes: HashMap<Box<str>, OnOffer>,
    pub(crate) keys: HashMap<Box<str>, OnOffer>,
}

/// What one place offers.
#[derive(Debug, Default)]
pub(crate) struct OnOffer {
    pub(crate) app: Option<Arc<Release>>,
    /// One a partition, in the order of their publication.
    pub(crate) data: Vec<Arc<Release>>,
}

impl Organization {
    pub(super) async fn load(database: &Database, row: &NamedRow) -> Result<Self, CatalogError> {
        let mut organization = Self {
            id: row.id,
            name: row.name.clone(),
            created_at: row.created_at,
            ..Self::default()
        };
        for project in database.projects(row.id).await? {
            organization
                .projects
                .insert(project.name.into(), Places::default());
        }
        for row in database.releases(row.id).await? {
            organization.add(Arc::new(Release::try_from(row)?));
        }
        Ok(organization)
    }

    /// Adds a release that is newer than all before it.
    pub(crate) fn add(&mut self, release: Arc<Release>) {
        if release.kind == Kind::App {
            self.add_build(&release);
        }
        if release.withdrawn_at.is_some() {
            self.withdrawn.insert(release.id);
            return;
        }
        if release.held {
            self.held.insert(release.id, release);
            return;
        }
        let places = if release.project == ALL_PROJECTS {
            &mut self.all_projects
        } else {
            self.projects
                .entry(release.project.as_str().into())
                .or_default()
        };
        let targets = match release.target_kind {
            TargetKind::Node => &mut places.nodes,
            TargetKind::Key => &mut places.keys,
        };
        let place = targets.entry(release.target.as_str().into()).or_default();
        match release.kind {
            Kind::App => place.app = Some(release),
            Kind::Data => {
                place.data.retain(|old| old.partition != release.partition);
                place.data.push(release);
            }
        }
    }

    /// Only of apps: data never runs, and must not be taken for what a device runs.
    fn add_build(&mut self, release: &Arc<Release>) {
        for md5 in &release.running_md5 {
            self.builds_by_md5.insert(*md5, Arc::clone(release));
        }
        self.builds_by_sha256
            .insert(release.sha256, Arc::clone(release));
        if let Some(digest) = release.running_sha256 {
            self.builds_by_sha256.insert(digest, Arc::clone(release));
        }
    }

    pub(crate) fn has_withdrawn(&self, release: i64) -> bool {
        self.withdrawn.contains(&release)
    }

    /// The release, offered or not, whose image reports these digests when it runs.
    pub(crate) fn build(&self, md5: Option<Md5>, sha256: Option<Sha256>) -> Option<&Arc<Release>> {
        md5.and_then(|md5| self.builds_by_md5.get(&md5))
            .or_else(|| sha256.and_then(|sha256| self.builds_by_sha256.get(&sha256)))
    }

    /// The release that a place offers now: the app, or the data for this partition.
    pub(crate) fn offered(
        &self,
        project: &str,
        kind: TargetKind,
        target: &str,
        partition: Option<&str>,
    ) -> Option<&Arc<Release>> {
        let places = if project == ALL_PROJECTS {
            Some(&self.all_projects)
        } else {
            self.projects.get(project)
        }?;
        let place = match kind {
            TargetKind::Node => places.nodes.get(target),
            TargetKind::Key => places.keys.get(target),
        }?;
        match partition {
            None => place.app.as_ref(),
            Some(_) => {
                let mut data = place.data.iter();
                data.find(|release| release.partition.as_deref() == partition)
            }
        }
    }

    pub(super) fn row(&self) -> NamedRow {
        NamedRow {
            id: self.id,
            name: self.name.clone(),
            created_at: self.created_at,
        }
    }
}
