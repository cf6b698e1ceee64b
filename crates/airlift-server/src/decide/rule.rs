//! Whether a device gets the release of its place.

use std::borrow::Cow;
use std::sync::Arc;

use airlift_rollout::Version;

use super::Wanted;
use crate::catalog::release::{Family, Kind, Release};
use crate::digest::{Md5, Sha256};
use crate::fleet::report::ResultState;

/// How often the same image is sent to a device that refuses it, that resets while it runs it on trial, or that does not say
/// what it runs: early ESP32 cores
/// (1.0.x) send no MD5, and would otherwise be sent it at every poll for ever. More than once, because a download may break off.
pub(super) const MAX_OFFERS: u32 = 3;

/// What the device says, as far as it decides anything. The digests and the version are those of what it wants to have up to
/// date: of the app that runs, or of what was last installed in the partition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) wanted: Wanted<'a>,
    /// It wants to know the version on offer, without the image.
    pub(crate) version_only: bool,
    /// `None`: the client does not say, for instance `esp_https_ota` or curl.
    pub(crate) family: Option<Family>,
    /// Chip id of the image that it runs, when that is a release we know.
    pub(crate) running_chip: Option<u16>,
    pub(crate) running_md5: Option<Md5>,
    pub(crate) running_sha256: Option<Sha256>,
    pub(crate) running_version: Option<&'a str>,
    /// The release whose digest it reports, when we know it. Only of the app.
    pub(crate) running_build: Option<&'a Release>,
    /// Somebody said that it may go back to an older version.
    pub(crate) allow_downgrade: bool,
    /// Bytes that it can take.
    pub(crate) free_space: Option<u64>,
    /// It asks for the rest of an image, so it has the beginning.
    pub(crate) resuming: bool,
}

/// What happened between this device and us before.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct History {
    /// What was last sent to it.
    pub(crate) offers: Option<Offers>,
    /// What it last reported, and of which image.
    pub(crate) result: Option<(ResultState, Option<Sha256>)>,
    /// A roll-back that it reported came from a reset during the trial, and not from the image's own verdict: a power cut in
    /// those seconds is as good a reason for it as a bad image.
    pub(crate) reset_on_trial: bool,
}

/// How often a device was sent an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offers {
    /// The image.
    pub(crate) sha256: Sha256,
    pub(crate) count: u32,
    /// How often of these the device was one that sends no digest.
    pub(crate) blindly: u32,
}

/// The outcome.
#[derive(Debug, Clone)]
pub(crate) enum Decision<'a> {
    /// Send this release.
    Offer(&'a Arc<Release>),
    /// Tell this release's version.
    Tell(&'a Arc<Release>),
    /// Nothing to do, and why.
    NoUpdate(NoUpdate),
}

/// Why there is no update for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoUpdate {
    /// No place of this device holds a release.
    NoRelease,
    /// It asked for a file system or for the content of a partition, and no place of it holds such data.
    NoFileSystemRelease,
    /// It runs or holds the release: a digest says so.
    UpToDate,
    /// It sends no digest, and its version is the release's.
    SameVersion,
    /// The release is for another chip.
    OtherChip,
    /// It runs something newer than the release, and nobody said that it may go back.
    RunsNewer,
    /// The release is larger than the device's free space.
    NoSpace,
    /// It installed this very image before and went back to the old one, by its own verdict or as often as we offer it. Data
    /// gives no verdict of its own: always as often as we offer it.
    RolledBack,
    /// It refused this very image as often as we offer it.
    Refused,
    /// It sends no digest and was sent this release as often as we do that.
    AlreadyOffered,
    /// A rollout has a release for it, and it is not its turn, or the rollout is held.
    RolloutWaits,
}

impl NoUpdate {
    /// The stable name in the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoRelease => "no-release",
            Self::NoFileSystemRelease => "no-file-system-release",
            Self::UpToDate => "up-to-date",
            Self::SameVersion => "same-version",
            Self::OtherChip => "other-chip",
            Self::RunsNewer => "runs-newer",
            Self::NoSpace => "no-space",
            Self::RolledBack => "rolled-back",
            Self::Refused => "refused",
            Self::AlreadyOffered => "already-offered",
            Self::RolloutWaits => "rollout-waits",
        }
    }
}

/// The name of a decision that was stored, as the constant; `none` when no decision is called that.
pub(crate) fn name_of(stored: &str) -> &'static str {
    use NoUpdate as N;
    let reasons = [
        N::NoRelease,
        N::NoFileSystemRelease,
        N::UpToDate,
        N::SameVersion,
        N::OtherChip,
        N::RunsNewer,
        N::NoSpace,
        N::RolledBack,
        N::Refused,
        N::AlreadyOffered,
        N::RolloutWaits,
    ];
    let names = reasons
        .map(NoUpdate::as_str)
        .into_iter()
        .chain(["offered", "version-told"]);
    names
        .into_iter()
        .find(|name| *name == stored)
        .unwrap_or("none")
}

impl Decision<'_> {
    /// The stable name in the API.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Offer(_) => "offered",
            Self::Tell(_) => "version-told",
            Self::NoUpdate(reason) => reason.as_str(),
        }
    }
}

/// What is looked at, in this order. The first that says no decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The release runs on this hardware.
    Chip,
    /// It does not run, or hold, the release.
    Digest,
    /// Where no digest tells: it runs another version.
    Version,
    /// It runs nothing newer.
    Order,
    /// It did not send this image back before.
    History,
    /// It has room.
    Space,
    /// It says what it runs, or was not sent this too often without.
    Blindness,
}

impl Rule {
    pub(crate) const ALL: [Self; 7] = [
        Self::Chip,
        Self::Digest,
        Self::Version,
        Self::Order,
        Self::History,
        Self::Space,
        Self::Blindness,
    ];

    /// Why not, by this rule.
    pub(crate) fn judge(
        self,
        facts: &Facts<'_>,
        release: &Release,
        history: &History,
    ) -> Option<NoUpdate> {
        let (says_no, why) = match self {
            Self::Chip => (is_for_another_chip(facts, release), NoUpdate::OtherChip),
            Self::Digest => (
                release.is_running(facts.running_md5, facts.running_sha256),
                NoUpdate::UpToDate,
            ),
            Self::Version => (
                !facts.say_digest() && facts.running_version == Some(release.version.as_str()),
                NoUpdate::SameVersion,
            ),
            Self::Order => (runs_newer(facts, release), NoUpdate::RunsNewer),
            Self::History => return sent_back(facts, release, history),
            Self::Space => (
                facts.free_space.is_some_and(|free| release.size > free),
                NoUpdate::NoSpace,
            ),
            Self::Blindness => {
                let (_, blindly) = history.times_sent(release);
                let too_often = blindly >= MAX_OFFERS && !facts.resuming;
                (facts.is_blind() && too_often, NoUpdate::AlreadyOffered)
            }
        };
        says_no.then_some(why)
    }
}

/// Decides. `release` is what [`resolve`](super::resolve()) found.
pub(crate) fn decide<'a>(
    facts: &Facts<'_>,
    release: Option<&'a Arc<Release>>,
    history: &History,
) -> Decision<'a> {
    // It is what was resolved, so it is what is wanted. That no app ever goes where data belongs does not rest on that alone.
    let Some(release) = release.filter(|release| facts.wanted.accepts(release)) else {
        return Decision::NoUpdate(match facts.wanted {
            Wanted::App => NoUpdate::NoRelease,
            Wanted::FileSystem(_) | Wanted::Partition(_) => NoUpdate::NoFileSystemRelease,
        });
    };
    for rule in Rule::ALL {
        // The version is told to any device that could run it, and what to do about it is the device's business.
        if facts.version_only && rule != Rule::Chip {
            return Decision::Tell(release);
        }
        if let Some(why) = rule.judge(facts, release, history) {
            return Decision::NoUpdate(why);
        }
    }
    Decision::Offer(release)
}

impl History {
    /// How often this image was sent, and how often of these to a device that did not say what it runs.
    pub(super) fn times_sent(&self, release: &Release) -> (u32, u32) {
        let offers = self.offers.filter(|offers| offers.sha256 == release.sha256);
        offers.map_or((0, 0), |offers| (offers.count, offers.blindly))
    }
}

/// What the device runs is newer than the release, as far as anybody can tell.
///
/// By the version, where both have a place in the order: that of the release that it runs, if its digest is known, otherwise the
/// one that it says. Where they have not, of two releases of the same place the one that was published later is newer. A release
/// that was withdrawn is not defended: who withdrew it wants it gone.
fn runs_newer(facts: &Facts<'_>, release: &Release) -> bool {
    let build = facts.running_build;
    let is_withdrawn = build.is_some_and(|build| build.withdrawn_at.is_some());
    if release.allow_downgrade || facts.allow_downgrade || is_withdrawn {
        return false;
    }
    match (facts.running_order(), &release.order) {
        (Some(runs), Some(offered)) => *runs > *offered,
        _ => build.is_some_and(|build| build.has_place_of(release) && build.id > release.id),
    }
}

/// Whether the device sent this very image back before, in a way that makes it useless to send it again.
fn sent_back(facts: &Facts<'_>, release: &Release, history: &History) -> Option<NoUpdate> {
    let (state, digest) = history.result?;
    if digest != Some(release.sha256) {
        return None;
    }
    let (count, _) = history.times_sent(release);
    let may_work_next_time = history.reset_on_trial || release.kind == Kind::Data;
    match state {
        ResultState::RolledBack if !(may_work_next_time && count < MAX_OFFERS) => {
            Some(NoUpdate::RolledBack)
        }
        ResultState::Refused if count >= MAX_OFFERS && !facts.resuming => Some(NoUpdate::Refused),
        _ => None,
    }
}

impl Facts<'_> {
    /// What it runs, in the order of versions.
    pub(super) fn running_order(&self) -> Option<Cow<'_, Version>> {
        match self.running_build {
            Some(build) => build.order.as_ref().map(Cow::Borrowed),
            None => self
                .running_version
                .and_then(Version::parse)
                .map(Cow::Owned),
        }
    }

    fn say_digest(&self) -> bool {
        self.running_md5.is_some() || self.running_sha256.is_some()
    }

    /// An update client that polls by itself and does not say what it runs. A client of no known family is a tool, or
    /// decides on its own by version. One that names a partition without a digest does say: nothing is installed there.
    pub(crate) fn is_blind(&self) -> bool {
        let can_say = matches!(self.wanted, Wanted::Partition(_));
        self.family.is_some() && !self.say_digest() && !can_say
    }
}

fn is_for_another_chip(facts: &Facts<'_>, release: &Release) -> bool {
    // Data is of no family, and for any.
    let other_family = facts
        .family
        .zip(release.family)
        .is_some_and(|(is, needs)| is != needs);
    // The requests of ESP32 clients do not name the chip, but the image that they run does.
    let other_chip = facts
        .running_chip
        .zip(release.chip_id)
        .is_some_and(|(runs, needs)| runs != needs);
    other_family || other_chip
}
