//! The parts that a device updates as one, in its configuration file: `[set]`. See `docs/virtual-device.md`.

use std::path::{Path, PathBuf};

use airlift_device::set::UnknownTags;
use airlift_sim::client::{PartPlan, SetPartPlan, SetPlan, SetPlanError, SetPolicy, VirtualDevice};
use anyhow::{anyhow, bail};
use serde::Deserialize;

use super::config::Size;

/// Bytes of a content in another flash, if the file does not say.
const USUAL_EXTERNAL: u64 = 64 << 10;

/// `[set]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetEntry {
    vendor: u16,
    product: u16,
    #[serde(default)]
    software_version: u32,
    #[serde(default)]
    allow_downgrade: bool,
    unknown_tags: Option<String>,
    policy: Option<String>,
    notes: Option<String>,
    spare: Option<String>,
    #[serde(default)]
    part: Vec<PartEntry>,
}

/// One `[[set.part]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartEntry {
    tag: u32,
    #[serde(default)]
    app: bool,
    partition: Option<String>,
    room: Option<String>,
    save: Option<String>,
    external: Option<PathBuf>,
    size: Option<Size>,
    descriptor: Option<usize>,
}

impl SetEntry {
    /// What it means; `path` is the configuration file, whose folder the files are relative to.
    pub(super) fn plan(&self, path: &Path) -> anyhow::Result<SetPlan> {
        let wrong =
            |key: &str, message: String| anyhow!("{}: set: {key}: {message}", path.display());
        let unknown = match self.unknown_tags.as_deref() {
            None | Some("refuse") => UnknownTags::Refuse,
            Some("skip") => UnknownTags::Skip,
            Some(other) => {
                let message = format!("{other:?} is none: use \"refuse\" or \"skip\"");
                return Err(wrong("unknown_tags", message));
            }
        };
        let policy = match self.policy.as_deref() {
            None | Some("all-or-nothing") => SetPolicy::AllOrNothing,
            Some("in-sequence") => SetPolicy::InSequence,
            Some(other) => {
                let message =
                    format!("{other:?} is none: use \"all-or-nothing\" or \"in-sequence\"");
                return Err(wrong("policy", message));
            }
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let parts = self.part.iter().map(|part| {
            let tag = part.tag;
            let to = part.plan(folder);
            let to = to.map_err(|(key, message)| wrong(&format!("tag {tag}: {key}"), message))?;
            Ok(SetPartPlan { tag, to })
        });
        let name =
            |name: &Option<String>, usual: &str| name.clone().unwrap_or_else(|| usual.to_owned());
        Ok(SetPlan {
            vendor: self.vendor,
            product: self.product,
            software_version: self.software_version,
            allows_downgrade: self.allow_downgrade,
            unknown,
            policy,
            notes: name(&self.notes, "nvs"),
            spare: name(&self.spare, "spare"),
            parts: parts.collect::<anyhow::Result<_>>()?,
        })
    }
}

impl PartEntry {
    fn plan(&self, folder: &Path) -> Result<PartPlan, (&'static str, String)> {
        let plan = match (self.app, &self.partition, &self.external) {
            (true, None, None) => PartPlan::App,
            (false, Some(name), None) => PartPlan::Partition {
                name: name.clone(),
                room: room("room", self.room.as_deref())?,
                save: room("save", self.save.as_deref())?,
            },
            (false, None, Some(file)) => PartPlan::External {
                file: folder.join(file),
                size: self.size()?,
                descriptor: match self.descriptor.unwrap_or(0) {
                    length @ 0..=132 => length,
                    length => {
                        let message = format!("{length} bytes are too many; it has at most 132");
                        return Err(("descriptor", message));
                    }
                },
            },
            _ => {
                let message =
                    "say one of `app = true`, `partition = \"NAME\"` and `external = \"FILE\"`";
                return Err(("app", message.to_owned()));
            }
        };
        let is_partition = matches!(plan, PartPlan::Partition { .. });
        let is_external = matches!(plan, PartPlan::External { .. });
        for (key, is_there, belongs) in [
            ("room", self.room.is_some(), is_partition),
            ("save", self.save.is_some(), is_partition),
            ("size", self.size.is_some(), is_external),
            ("descriptor", self.descriptor.is_some(), is_external),
        ] {
            if is_there && !belongs {
                return Err((key, "such a part has no use for it; remove it".to_owned()));
            }
        }
        Ok(plan)
    }

    fn size(&self) -> Result<u32, (&'static str, String)> {
        let size = match &self.size {
            None => Ok(USUAL_EXTERNAL),
            Some(size) => size.bytes(),
        };
        let size = size.map_err(|message| ("size", message))?;
        // What is too large for any flash is refused as too large.
        Ok(u32::try_from(size).unwrap_or(u32::MAX))
    }
}

fn room(key: &'static str, text: Option<&str>) -> Result<Option<String>, (&'static str, String)> {
    match text.map(|text| (text, text.strip_prefix("partition:"))) {
        None => Ok(None),
        Some((_, Some(name))) if !name.is_empty() => Ok(Some(name.to_owned())),
        Some((text, _)) => Err((
            key,
            format!("{text:?} is no place: use \"partition:NAME\", or leave it out"),
        )),
    }
}

/// Tells the device which parts it updates as one.
pub(super) fn declare(
    device: &mut VirtualDevice,
    plan: &SetPlan,
    config: &Path,
) -> anyhow::Result<()> {
    let declared = device.declare_set(plan);
    declared.map_err(|error| said_of(&error, config))
}

pub(super) fn said_of(error: &SetPlanError, config: &Path) -> anyhow::Error {
    let config = config.display();
    match error.tag {
        Some(tag) => anyhow!("{config}: set: tag {tag}: {error}"),
        None => anyhow!("{config}: set: {error}"),
    }
}

/// The plan of the configuration, for a command that needs one.
pub(super) fn needed(plan: Option<SetPlan>, config: &Path) -> anyhow::Result<SetPlan> {
    match plan {
        Some(plan) => Ok(plan),
        None => bail!(
            "{}: there is no [set]; declare there where the parts of an image go (docs/virtual-device.md)",
            config.display()
        ),
    }
}
