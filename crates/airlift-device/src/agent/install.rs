//! From the files of a job to what the device runs.

use airlift_formats::aws::job_document::{AfrOta, File, Files};

use super::super::install::BootControl;
use super::super::partition::RestoreMechanism;
use super::super::set::{Destination, MAX_PARTS, Part, SetState, check_parts};
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::fetch::{Fetched, Progress, fetch};
use super::{Failed, FileKey, Link, SelfTest, Setup, Source, Step, Talk, name_of};
use crate::notify::aws_jobs::{Parsed, Report, Version};
use crate::verify::{ImageCheck, PartCheck, SignatureVerifier, Signed};
use crate::{Error, Offer, Outcome, Refusal, Status};

/// The work at one job.
pub(super) struct Work<'x, 'l, 'a, F, B, L, S, T, M, C, V> {
    pub(super) updater: &'x mut Updater<'l, F, B>,
    pub(super) talk: Talk<'x, 'a, L>,
    pub(super) source: &'x mut S,
    pub(super) app: &'x mut T,
    pub(super) mechanisms: &'x mut M,
    pub(super) setup: &'x Setup<'a, C, V>,
    pub(super) flash: &'x mut [u8],
    pub(super) before: Version,
}

/// An app on trial has reached the service: is it good? None if none is on trial; `false`: it goes back with a restart.
#[dual(AFIT)]
pub(super) async fn judge<F: NorFlash, B: BootControl, T: SelfTest, M: RestoreMechanism>(
    updater: &mut Updater<'_, F, B>,
    app: &mut T,
    mechanisms: &mut M,
    flash: &mut [u8],
) -> Result<Option<bool>, Error<F::Error>> {
    match updater.status() {
        Status::Rejected { .. } => return Ok(Some(false)),
        Status::OnTrial { .. } => {}
        _ => return Ok(None),
    }
    let verdict = app.self_test().await;
    match (verdict, M::KNOWS_SETS) {
        (Ok(()), true) => updater.confirm_set(mechanisms, flash).await?,
        (Ok(()), false) => updater.confirm().await?,
        (Err(reason), _) => updater.reject(reason).await?,
    }
    Ok(Some(verdict.is_ok()))
}

#[dual(AFIT)]
impl<F, B, L, S, T, M, C, V> Work<'_, '_, '_, F, B, L, S, T, M, C, V>
where
    F: NorFlash,
    B: BootControl,
    L: Link,
    S: Source,
    T: SelfTest,
    M: RestoreMechanism,
    C: ImageCheck + Clone,
    V: SignatureVerifier,
{
    /// Tells what came of a job that brings no files.
    pub(super) async fn answer(&mut self, parsed: &Parsed<'_>) -> Result<Step, Failed<F, L>> {
        let report = match *parsed {
            Parsed::Done => Report::Done,
            Parsed::Failed { code, cause } => Report::Rejected { code, cause },
            Parsed::Declined { cause, field } => Report::Declined { cause, field },
            _ => Report::Declined {
                cause: "unknown-document",
                field: "",
            },
        };
        self.end(report).await
    }

    /// Installs the files of a job, or goes on where a restart interrupted that.
    pub(super) async fn install(
        &mut self,
        update: &AfrOta<'_, Files<'_>>,
    ) -> Result<Step, Failed<F, L>> {
        let name = name_of(self.talk.jobs.job().unwrap_or_default(), update);
        let mut parts = [Part {
            tag: 0,
            to: Destination::App,
        }; MAX_PARTS];
        let mut count = 0;
        for file in update.files.clone() {
            let to = self.destination(&file, count == 0);
            let (Some(to), Some(part)) = (to, parts.get_mut(count)) else {
                let field = if to.is_none() { "fileid" } else { "files" };
                let cause = "no-destination";
                return self.end(Report::Declined { cause, field }).await;
            };
            let tag = u32::from(file.id);
            *part = Part { tag, to };
            count += 1;
        }
        let parts = parts.get(..count).unwrap_or_default();
        let as_set = count != 1 || parts.iter().any(|part| part.to != Destination::App);
        if let Err(refusal) = check_parts(parts) {
            return self.refuse(refusal, &name).await;
        }
        if self.judge(&name).await? == Some(false) {
            return Ok(Step::Restart);
        }
        if let Some(report) = self.fate(&name, as_set, parts).await? {
            return self.outcome(report, &name, as_set).await;
        }
        match update.files.clone().next() {
            Some(file) if !as_set => self.install_app(update.stream, file, &name).await,
            _ => self.install_set(update, parts, &name).await,
        }
    }

    /// Where a file goes.
    fn destination(&self, file: &File<'_>, first: bool) -> Option<Destination> {
        let routes = self.setup.routes.iter();
        let route = routes.copied().find(|route| match route.file {
            FileKey::Id(id) => id == file.id,
            FileKey::Type(number) => file.file_type == Some(number),
        });
        match route {
            Some(route) => Some(route.to),
            None => first.then_some(Destination::App),
        }
    }

    /// Judges an app on trial; of this job's, the service hears that it runs.
    async fn judge(&mut self, name: &[u8; 32]) -> Result<Option<bool>, Failed<F, L>> {
        if let Status::OnTrial { offer, .. } = self.updater.status()
            && (offer.sha256 == *name || self.updater.set_name().await? == Some(*name))
        {
            let version = self.setup.version;
            self.talk.tell(Report::Active { version }).await?;
        }
        let verdict = judge(self.updater, self.app, self.mechanisms, self.flash).await?;
        Ok(verdict)
    }

    /// What became of this job before, if the service has not heard of it.
    async fn fate(
        &mut self,
        name: &[u8; 32],
        as_set: bool,
        parts: &[Part],
    ) -> Result<Option<Report>, Failed<F, L>> {
        let accepted = Report::Accepted {
            version: self.setup.version,
            before: self.before,
        };
        if !as_set {
            let Status::Idle {
                last: Some((outcome, sha256, false)),
            } = self.updater.status()
            else {
                return Ok(None);
            };
            return Ok((sha256 == *name).then_some(match outcome {
                Outcome::Confirmed => accepted,
                Outcome::RolledBack { started, reason } => Report::Rejected {
                    code: reason.into(),
                    cause: if started {
                        "rolled-back"
                    } else {
                        "never-started"
                    },
                },
                Outcome::Refused(code) => Report::Rejected {
                    code: code.into(),
                    cause: Refusal::token(code),
                },
            }));
        }
        Ok(match self.updater.set_state().await? {
            SetState::Done {
                sha256,
                reported: false,
            } if sha256 == *name => {
                let has_app = parts.iter().any(|part| part.to == Destination::App);
                Some(if has_app { accepted } else { Report::Done })
            }
            SetState::Reverted {
                sha256,
                tag,
                reported: false,
            } if sha256 == *name => Some(reverted(tag, parts)),
            _ => None,
        })
    }

    async fn install_app(
        &mut self,
        stream: Option<&str>,
        file: File<'_>,
        name: &[u8; 32],
    ) -> Result<Step, Failed<F, L>> {
        let offer = Offer {
            length: file.size,
            sha256: *name,
        };
        let there = match self.updater.status() {
            Status::Armed { offer: armed } if armed == offer => return Ok(Step::Restart),
            Status::Staged { offer: staged } => staged == offer,
            _ => false,
        };
        if !there {
            match self.download_app(stream, file, offer).await? {
                Fetched::Whole => {}
                Fetched::Over => return Ok(Step::Over),
                Fetched::Aborted(error) => {
                    let (code, cause) = (error.code(), error.token());
                    return self.end(Report::Aborted { code, cause }).await;
                }
                Fetched::Refused(refusal) => return self.refuse(refusal, name).await,
            }
        }
        let version = self.setup.version;
        if !self.talk.tell(Report::Ready { version }).await? {
            return Ok(Step::Over);
        }
        self.activate().await
    }

    /// The next boot tries the app.
    async fn activate(&mut self) -> Result<Step, Failed<F, L>> {
        if !matches!(self.updater.status(), Status::Armed { .. }) {
            self.updater.activate().await?;
        }
        Ok(Step::Restart)
    }

    async fn download_app(
        &mut self,
        stream: Option<&str>,
        file: File<'_>,
        offer: Offer,
    ) -> Result<Fetched, Failed<F, L>> {
        let check = match Signed::new(self.setup.check.clone(), file, self.setup.verifier) {
            Ok(check) => check,
            Err(refusal) => return Ok(Fetched::Refused(refusal)),
        };
        let mut download = match self.updater.begin(offer, check, self.flash).await {
            Ok(download) => download,
            Err(Error::Refused(refusal)) => return Ok(Fetched::Refused(refusal)),
            Err(error) => return Err(error.into()),
        };
        let progress = Progress {
            size: file.size,
            resumed: download.offset(),
            every: self.setup.progress,
        };
        let thing = self.talk.jobs.thing();
        let opened = self.source.open(thing, stream, &file, progress.resumed);
        let mut fetching = match opened {
            Ok(fetching) => fetching,
            Err(error) => return Ok(Fetched::Aborted(error)),
        };
        match fetch(&mut self.talk, &mut fetching, &mut download, &progress).await? {
            Fetched::Whole => {}
            other => return Ok(other),
        }
        match download.finish().await {
            Ok(()) => Ok(Fetched::Whole),
            Err(Error::Refused(refusal)) => Ok(Fetched::Refused(refusal)),
            Err(error) => Err(error.into()),
        }
    }

    async fn install_set(
        &mut self,
        update: &AfrOta<'_, Files<'_>>,
        parts: &[Part],
        name: &[u8; 32],
    ) -> Result<Step, Failed<F, L>> {
        if self.updater.set_state().await? == SetState::Applied {
            return self.activate().await;
        }
        let mut length = 0_u32;
        for (file, part) in update.files.clone().zip(parts) {
            length = length.saturating_add(file.size);
            match self.stage(update.stream, file, part).await? {
                Fetched::Whole => {}
                Fetched::Over => return Ok(Step::Over),
                Fetched::Aborted(error) => {
                    let (code, cause) = (error.code(), error.token());
                    return self.end(Report::Aborted { code, cause }).await;
                }
                Fetched::Refused(refusal) => return self.refuse(refusal, name).await,
            }
        }
        let version = self.setup.version;
        let has_app = parts.iter().any(|part| part.to == Destination::App);
        let report = if has_app {
            Report::Ready { version }
        } else {
            Report::Verified
        };
        if !self.talk.tell(report).await? {
            return Ok(Step::Over);
        }
        let set = Offer {
            length,
            sha256: *name,
        };
        let committed = self
            .updater
            .commit_set(&set, parts, self.mechanisms, self.flash)
            .await;
        let report = match committed {
            Ok(SetState::Done { .. }) => Report::Done,
            Ok(SetState::Reverted { tag, .. }) => reverted(tag, parts),
            Ok(_) => return self.activate().await,
            Err(Error::Refused(refusal)) => return self.refuse(refusal, name).await,
            Err(error) => return Err(error.into()),
        };
        self.outcome(report, name, true).await
    }

    /// Fetches one part to where it waits for the others, unless it is there.
    async fn stage(
        &mut self,
        stream: Option<&str>,
        file: File<'_>,
        part: &Part,
    ) -> Result<Fetched, Failed<F, L>> {
        let image = match part.to {
            Destination::App => PartCheck::App(self.setup.check.clone()),
            _ => PartCheck::Any,
        };
        let check = match Signed::new(image, file, self.setup.verifier) {
            Ok(check) => check,
            Err(refusal) => return Ok(Fetched::Refused(refusal)),
        };
        let there = self
            .updater
            .is_part_staged(part, file.size, &check, self.flash)
            .await?;
        if there {
            return Ok(Fetched::Whole);
        }
        let begun = self
            .updater
            .begin_part(part, file.size, check, self.flash)
            .await;
        let mut download = match begun {
            Ok(download) => download,
            Err(Error::Refused(refusal)) => return Ok(Fetched::Refused(refusal)),
            Err(error) => return Err(error.into()),
        };
        let progress = Progress {
            size: file.size,
            resumed: 0,
            every: self.setup.progress,
        };
        let thing = self.talk.jobs.thing();
        let mut fetching = match self.source.open(thing, stream, &file, 0) {
            Ok(fetching) => fetching,
            Err(error) => return Ok(Fetched::Aborted(error)),
        };
        match fetch(&mut self.talk, &mut fetching, &mut download, &progress).await? {
            Fetched::Whole => {}
            other => return Ok(other),
        }
        match download.finish().await {
            Ok(_) => Ok(Fetched::Whole),
            Err(Error::Refused(refusal)) => Ok(Fetched::Refused(refusal)),
            Err(error) => Err(error.into()),
        }
    }

    /// The job ends with this.
    async fn end(&mut self, report: Report) -> Result<Step, Failed<F, L>> {
        self.talk.tell(report).await?;
        Ok(Step::Over)
    }

    /// The job ends with a refusal, which the journal may have, too.
    async fn refuse(&mut self, refusal: Refusal, name: &[u8; 32]) -> Result<Step, Failed<F, L>> {
        let code = refusal.code();
        let report = Report::Rejected {
            code: code.into(),
            cause: Refusal::token(code),
        };
        self.outcome(report, name, false).await
    }

    /// The job ends with what the journal has of it.
    async fn outcome(
        &mut self,
        report: Report,
        name: &[u8; 32],
        as_set: bool,
    ) -> Result<Step, Failed<F, L>> {
        self.talk.tell(report).await?;
        if as_set {
            self.updater.set_reported().await?;
        } else if let Status::Idle {
            last: Some((_, sha256, _)),
        } = self.updater.status()
            && sha256 == *name
        {
            self.updater.reported().await?;
        }
        Ok(Step::Over)
    }
}

/// A set that did not stay.
fn reverted(tag: u32, parts: &[Part]) -> Report {
    // 0 is what the engine says of an app that did not stay; a file may have that number, too.
    let app = parts.iter().find(|part| part.to == Destination::App);
    let stayed = tag != 0 || app.is_none();
    Report::Rejected {
        code: tag,
        cause: if stayed {
            "part-not-applied"
        } else {
            "rolled-back"
        },
    }
}
