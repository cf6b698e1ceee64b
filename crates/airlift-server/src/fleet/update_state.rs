//! How updates of one thing go: of a device's app, or of one of its partitions.

use serde::Serialize;

use super::report::{RESET_ON_TRIAL, Report, ResultState};
use crate::catalog::release::Release;
use crate::clock::Timestamp;
use crate::decide::{Decision, History, Offers, name_of};
use crate::digest::Sha256;
use crate::store::fleet::UpdateRow;

/// What a device was told, was sent and has reported.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct UpdateState {
    /// Name of the last decision.
    pub(crate) decision: &'static str,
    pub(crate) decision_release: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offered: Option<Offered>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<LastResult>,
}

/// Whether the device that is sent an image does not say what it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blindly(pub(crate) bool);

/// The image that was last sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Offered {
    sha256: Sha256,
    count: u32,
    /// How often of these the device had sent no digest.
    blindly: u32,
    at: Timestamp,
}

/// The last report, and when it first came in these words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct LastResult {
    #[serde(serialize_with = "state_name")]
    state: ResultState,
    sha256: Option<Sha256>,
    version: Option<Box<str>>,
    reason: Option<Box<str>>,
    at: Timestamp,
}

fn state_name<S: serde::Serializer>(state: &ResultState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_str())
}

impl UpdateState {
    /// Of something that was never asked for.
    pub(super) fn new() -> Self {
        Self {
            decision: "none",
            decision_release: None,
            offered: None,
            result: None,
        }
    }

    /// Whether the report came before in the same words.
    pub(super) fn has_heard(&self, report: &Report<'_>) -> bool {
        self.result.as_ref().is_some_and(|last| {
            last.state == report.state
                && last.sha256 == report.sha256
                && last.version.as_deref() == report.version
                && last.reason.as_deref() == report.reason
        })
    }

    /// Name of the last result.
    pub(super) fn result(&self) -> Option<&'static str> {
        Some(self.result.as_ref()?.state.as_str())
    }

    pub(super) fn forget_offers(&mut self) {
        self.offered = None;
    }

    /// Takes a report in; `false` when it came before in the same words.
    pub(super) fn hear(&mut self, report: &Report<'_>, now: Timestamp) -> bool {
        if self.has_heard(report) {
            return false;
        }
        self.result = Some(LastResult {
            state: report.state,
            sha256: report.sha256,
            version: report.version.map(Box::from),
            reason: report.reason.map(Box::from),
            at: now,
        });
        true
    }

    /// Takes down what the device was told; the release, if it is being sent it. `sent`: whether the image goes out from its
    /// first byte, and then whether to a device that does not say what it runs.
    pub(super) fn told<'a>(
        &mut self,
        decision: &Decision<'a>,
        sent: Option<Blindly>,
        now: Timestamp,
    ) -> Option<&'a Release> {
        self.decision = decision.as_str();
        let (release, sent) = match decision {
            Decision::Offer(release) => (release, sent),
            // Its version is not the image.
            Decision::Tell(release) => (release, None),
            Decision::NoUpdate(_) => {
                self.decision_release = None;
                return None;
            }
        };
        self.decision_release = Some(release.id);
        let Blindly(blindly) = sent?;
        let before = self
            .offered
            .filter(|offered| offered.sha256 == release.sha256);
        let (count, before) = before.map_or((0, 0), |offered| (offered.count, offered.blindly));
        self.offered = Some(Offered {
            sha256: release.sha256,
            count: count.saturating_add(1),
            blindly: before.saturating_add(u32::from(blindly)),
            at: now,
        });
        Some(release)
    }

    /// What the decision needs of the past.
    pub(super) fn history(&self) -> History {
        History {
            offers: self.offered.map(|offered| Offers {
                sha256: offered.sha256,
                count: offered.count,
                blindly: offered.blindly,
            }),
            result: self
                .result
                .as_ref()
                .map(|result| (result.state, result.sha256)),
            reset_on_trial: self
                .result
                .as_ref()
                .is_some_and(|result| result.reason.as_deref() == Some(RESET_ON_TRIAL)),
        }
    }

    pub(super) fn restore(row: &UpdateRow) -> Self {
        let text = |text: &Option<String>| text.as_deref().map(Box::from);
        let sha256 =
            |hex: &Option<String>| hex.as_ref().and_then(|hex| Sha256::parse(hex.as_bytes()));
        Self {
            decision: name_of(&row.decision),
            decision_release: row.decision_release,
            offered: sha256(&row.offered_sha256).map(|sha256| Offered {
                sha256,
                count: u32::try_from(row.offered_count).unwrap_or(0),
                blindly: u32::try_from(row.offered_blindly).unwrap_or(0),
                at: Timestamp(row.offered_at.unwrap_or(0)),
            }),
            result: row
                .result_state
                .as_deref()
                .and_then(ResultState::parse)
                .map(|state| LastResult {
                    state,
                    sha256: sha256(&row.result_sha256),
                    version: text(&row.result_version),
                    reason: text(&row.result_reason),
                    at: Timestamp(row.result_at.unwrap_or(0)),
                }),
        }
    }

    pub(super) fn row(&self) -> UpdateRow {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let result = self.result.as_ref();
        UpdateRow {
            decision: self.decision.to_owned(),
            decision_release: self.decision_release,
            offered_sha256: self.offered.map(|offered| offered.sha256.to_string()),
            offered_count: self.offered.map_or(0, |offered| i64::from(offered.count)),
            offered_blindly: self.offered.map_or(0, |offered| i64::from(offered.blindly)),
            offered_at: self.offered.map(|offered| offered.at.0),
            result_state: result.map(|result| result.state.as_str().to_owned()),
            result_sha256: result
                .and_then(|result| result.sha256)
                .map(|digest| digest.to_string()),
            result_version: result.and_then(|result| text(&result.version)),
            result_reason: result.and_then(|result| text(&result.reason)),
            result_at: result.map(|result| result.at.0),
        }
    }
}
