//! Why a device gets what it gets, for people: the rules in their order, with the values that they looked at.

use serde::Serialize;

use super::resolve::{Spot, spots};
use super::rule::{Facts, History, Rule};
use super::{Wanted, rule};
use crate::catalog::release::{Family, Release, TargetKind};
use crate::catalog::snapshot::Organization;
use crate::config::Resolution;
use crate::digest::Sha256;
use crate::name::ALL_PROJECTS;
use crate::rollout::Granted;

/// One rule.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) rule: String,
    /// `yes`: the device may have the release, by this rule; `no`: it ends here; `-`: there is nothing here, or it is not looked at.
    pub(crate) verdict: &'static str,
    pub(crate) says: String,
}

impl Step {
    pub(crate) fn new(
        rule: impl Into<String>,
        verdict: &'static str,
        says: impl Into<String>,
    ) -> Self {
        Self {
            rule: rule.into(),
            verdict,
            says: says.into(),
        }
    }
}

/// The places of a device in their order, and what lies there.
pub(crate) fn explain_places(
    order: Resolution,
    organization: &Organization,
    (project, node, key): (&str, &str, &str),
    wanted: Wanted<'_>,
    granted: &[Granted<'_>],
) -> Vec<Step> {
    let mut found = false;
    let spots = spots(order, project, node, key);
    let steps = spots.map(|spot| {
        let (open, by_rollout) = (spot.open(organization, wanted), spot.granted(granted));
        let named = |what: &str, release: &Release| {
            format!("{what} release {}, version {}", release.id, release.version)
        };
        let says = match (open, by_rollout) {
            (None, None) => "nothing lies here".to_owned(),
            (Some(open), None) => named("for everybody", open),
            (None, Some(granted)) => named("by a rollout", granted),
            (Some(open), Some(granted)) => format!(
                "{}; {}; the later one counts",
                named("for everybody", open),
                named("by a rollout", granted)
            ),
        };
        let counts = open.or(by_rollout).is_some() && !std::mem::replace(&mut found, true);
        Step::new(label(&spot), if counts { "yes" } else { "-" }, says)
    });
    // What comes behind the place that counts is shown as what it is: not looked at.
    let mut steps: Vec<_> = steps.collect();
    let counting = steps.iter().position(|step| step.verdict == "yes");
    for step in steps
        .iter_mut()
        .skip(counting.map_or(usize::MAX, |at| at + 1))
    {
        step.says = format!("not looked at ({})", step.says);
    }
    steps
}

fn label(spot: &Spot<'_>) -> String {
    let project = match spot.project {
        ALL_PROJECTS => "all projects",
        project => project,
    };
    let kind = match spot.kind {
        TargetKind::Node => "node",
        TargetKind::Key => "key",
    };
    format!("place: {project}, {kind} {}", spot.target)
}

/// The rules about a release, up to the first that says no.
pub(crate) fn explain_rules(facts: &Facts<'_>, release: &Release, history: &History) -> Vec<Step> {
    let mut steps = Vec::new();
    for rule in Rule::ALL {
        let judged = rule.judge(facts, release, history);
        let verdict = if judged.is_some() { "no" } else { "yes" };
        let says = describe(rule, facts, release, history);
        let says = match judged {
            Some(why) => format!("{}: {says}", why.as_str()),
            None => says,
        };
        steps.push(Step::new(name(rule), verdict, says));
        if judged.is_some() {
            break;
        }
    }
    steps
}

fn name(rule: Rule) -> &'static str {
    match rule {
        Rule::Chip => "hardware",
        Rule::Digest => "digest",
        Rule::Version => "version without a digest",
        Rule::Order => "no downgrade",
        Rule::History => "what became of it before",
        Rule::Space => "space",
        Rule::Blindness => "devices that say little",
    }
}

/// The values that the rule looks at.
fn describe(rule: Rule, facts: &Facts<'_>, release: &Release, history: &History) -> String {
    let runs = facts.running_version.unwrap_or("unknown");
    let of_this = history
        .result
        .filter(|(_, digest)| *digest == Some(release.sha256));
    match rule {
        Rule::Chip => format!(
            "the device is {}, the release is for {}",
            hardware(facts.family.map(Family::as_str), facts.running_chip),
            match (release.family, release.chip_id) {
                (None, None) => "any".to_owned(),
                (family, chip) => hardware(family.map(Family::as_str), chip),
            }
        ),
        Rule::Digest => match (facts.running_md5, facts.running_sha256) {
            (None, None) => "the device sends no digest of what it runs".to_owned(),
            (md5, sha256) => format!(
                "the device runs {}, the release is {}",
                sha256.map_or_else(
                    || md5.map_or_else(String::new, |md5| md5.to_string()),
                    short
                ),
                short(release.sha256)
            ),
        },
        Rule::Version => format!("the device says {runs}, the release is {}", release.version),
        Rule::Order => order(facts, release),
        Rule::History => match of_this {
            None => "the device has reported nothing of this image".to_owned(),
            Some((state, _)) => format!(
                "the device reported {} of this image, which it was sent {} times",
                state.as_str(),
                history.times_sent(release).0
            ),
        },
        Rule::Space => format!(
            "the release has {} bytes, the device has room for {}",
            release.size,
            facts
                .free_space
                .map_or_else(|| "an unknown number".to_owned(), |free| free.to_string())
        ),
        Rule::Blindness if facts.is_blind() => format!(
            "the device does not say what it runs, and was sent this image {} of {} times",
            history.times_sent(release).1,
            rule::MAX_OFFERS
        ),
        Rule::Blindness => "the device says what it runs, or decides by itself".to_owned(),
    }
}

fn order(facts: &Facts<'_>, release: &Release) -> String {
    if release.allow_downgrade || facts.allow_downgrade {
        return "downgrades are allowed".to_owned();
    }
    match (facts.running_order(), &release.order) {
        (Some(runs), Some(offered)) => format!("the device runs {runs}, the release is {offered}"),
        (_, offered) => {
            let runs = match facts.running_build {
                Some(build) => format!("release {} ({})", build.id, build.version),
                None => facts
                    .running_version
                    .unwrap_or("something unknown")
                    .to_owned(),
            };
            let offered = offered
                .as_ref()
                .map_or(release.version.clone(), ToString::to_string);
            format!("{runs} and {offered} have no order by version")
        }
    }
}

fn hardware(family: Option<&str>, chip: Option<u16>) -> String {
    match (family, chip) {
        (Some(family), Some(chip)) => format!("{family} (chip id {chip})"),
        (Some(family), None) => family.to_owned(),
        (None, Some(chip)) => format!("chip id {chip}"),
        (None, None) => "unknown".to_owned(),
    }
}

/// Enough of a digest to be recognised.
fn short(digest: Sha256) -> String {
    let mut text = digest.to_string();
    text.truncate(12);
    text
}
