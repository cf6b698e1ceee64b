//! The parts of a set, as its record keeps them: the app's name, then tag and subject of each.

use super::super::journal::Subject;
use crate::Refusal;
use crate::record::Tail;

const APP_ID: usize = 8;
const ENTRY: usize = 8;

/// The app has the subject 0, which is what is behind the last part.
const APP_MARK: Subject = Subject(u32::MAX);

/// Stands for all that the engine does not keep itself.
pub(super) const CUSTOM: Subject = Subject(u32::MAX - 1);

/// Stands for a part that is where it should be, before the set and after it.
pub(super) const PRESENT: Subject = Subject(u32::MAX - 2);

pub(super) struct Parts {
    tail: Tail,
    len: usize,
}

impl Parts {
    pub(super) const EMPTY: Self = Self {
        tail: Tail::EMPTY,
        len: 0,
    };

    pub(super) fn parse(tail: Tail) -> Self {
        let mut parts = Self {
            tail,
            len: super::MAX_PARTS,
        };
        parts.len = (0..super::MAX_PARTS)
            .find(|index| parts.get(*index).is_none())
            .unwrap_or(super::MAX_PARTS);
        parts
    }

    /// Tag and subject of a part.
    pub(super) fn get(&self, index: usize) -> Option<(u32, Subject)> {
        let bytes = self.tail.bytes.get(APP_ID + index * ENTRY..)?;
        let ([tag, subject], _) = bytes.as_chunks::<4>().0.split_first_chunk::<2>()?;
        let subject = match Subject(u32::from_le_bytes(*subject)) {
            Subject(0) => return None,
            APP_MARK => Subject::APP,
            subject => subject,
        };
        (index < self.len).then_some((u32::from_le_bytes(*tag), subject))
    }

    /// Index, tag and subject of each.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, u32, Subject)> {
        (0..self.len).filter_map(|index| {
            let (tag, subject) = self.get(index)?;
            Some((index, tag, subject))
        })
    }

    pub(super) fn push(&mut self, tag: u32, subject: Subject) -> Result<(), Refusal> {
        if self.len == super::MAX_PARTS {
            return Err(Refusal::TooManyParts);
        }
        let subject = match subject {
            Subject::APP => APP_MARK,
            subject => subject,
        };
        let bytes = self.tail.bytes.iter_mut().skip(APP_ID + self.len * ENTRY);
        let fields = [tag.to_le_bytes(), subject.0.to_le_bytes()];
        for (to, from) in bytes.zip(fields.as_flattened()) {
            *to = *from;
        }
        self.len += 1;
        Ok(())
    }

    /// Whether the app in it has this digest; not if there is none.
    pub(super) fn has_app(&self, sha256: &[u8; 32]) -> bool {
        let id = self.tail.bytes.first_chunk::<APP_ID>();
        id == sha256.first_chunk() && self.app().is_some()
    }

    /// The index of the app.
    pub(super) fn app(&self) -> Option<usize> {
        let mut parts = self.iter();
        Some(parts.find(|(_, _, subject)| *subject == Subject::APP)?.0)
    }

    pub(super) fn set_app(&mut self, sha256: &[u8; 32]) {
        for (to, from) in self.tail.bytes.iter_mut().zip(sha256).take(APP_ID) {
            *to = *from;
        }
    }

    /// The tail of the set's record.
    pub(super) fn bytes(&self) -> &[u8] {
        let used = APP_ID + self.len * ENTRY;
        self.tail.bytes.get(..used).unwrap_or_default()
    }

    /// The bit of each part that has something to do.
    pub(super) fn all(&self) -> u16 {
        let acting = self.iter().filter(|(_, _, subject)| *subject != PRESENT);
        acting.map(|(index, ..)| bit(index)).sum()
    }
}

/// The bit of a part in [`Record::parts_left`](super::super::journal::Record::parts_left).
pub(super) const fn bit(index: usize) -> u16 {
    1 << index
}
